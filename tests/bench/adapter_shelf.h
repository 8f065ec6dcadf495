// Adapters of random weights, found by rank and index and made when they are first asked for: each
// has memory of its own. One owner thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "common/formats/base_spec.h"
#include "server/kernels/kernel_table.h"
#include "server/lora/adapter_weights.h"

namespace lamella::bench {

class AdapterShelf {
 public:
  struct Key {
    int32_t rank = 0;
    int32_t index = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  // Borrows both.
  AdapterShelf(const BaseSpec& base, const kernels::KernelTable& kernels)
      : base_(base), kernels_(kernels) {}

  // Makes those of `keys` that are not there yet, on as many threads.
  void Make(std::span<const Key> keys, int32_t threads);
  // One that was made.
  const AdapterWeights* at(Key key) const { return adapters_.at(key).get(); }

 private:
  const BaseSpec& base_;
  const kernels::KernelTable& kernels_;
  std::map<Key, std::unique_ptr<const AdapterWeights>> adapters_;
};

}  // namespace lamella::bench
