// Law 2 on a real base: the logits of every sequence alone, against the same sequence in a batch
// that mixes adapters, prefill chunks and decode. Bits are compared, not values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/core/model_executor.h"

namespace lamella::testing {

struct MixedSequence {
  std::string name;
  std::vector<int32_t> tokens;              // prompt, then `decoded` tokens
  const AdapterWeights* adapter = nullptr;  // null: base
};

struct MixedFigures {
  int32_t rows = 0;       // rows of logits that were compared
  int32_t different = 0;  // rows with one bit or more that differs
  std::string first_difference;
};

// Each sequence's last `decoded` tokens are fed one by one and their logits kept. In the mixed run
// prompts enter in chunks of `chunk` rows while others decode already.
absl::StatusOr<MixedFigures> CompareMixedWithAlone(ModelExecutor* executor,
                                                   std::span<const MixedSequence> sequences,
                                                   int32_t decoded, int32_t chunk);

}  // namespace lamella::testing
