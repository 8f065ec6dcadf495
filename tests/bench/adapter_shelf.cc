#include "tests/bench/adapter_shelf.h"

#include <vector>

#include "server/kernels/fork_join_pool.h"
#include "tests/testing/random_adapter.h"

namespace lamella::bench {

void AdapterShelf::Make(std::span<const Key> keys, int32_t threads) {
  std::vector<std::pair<const Key, std::unique_ptr<const AdapterWeights>>*> missing;
  for (const Key key : keys) {
    const auto [entry, is_new] = adapters_.try_emplace(key);
    if (is_new) missing.push_back(&*entry);
  }
  kernels::ForkJoinPool pool(threads);
  pool.Run(std::ssize(missing), 1, [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t i = begin; i < end; ++i) {
      auto& [key, adapter] = *missing[static_cast<size_t>(i)];
      const auto seed = static_cast<uint32_t>(key.index * 1024 + key.rank);
      adapter = testing::MakeRandomAdapter(base_, kernels_, {.seed = seed, .rank = key.rank});
    }
  });
}

}  // namespace lamella::bench
