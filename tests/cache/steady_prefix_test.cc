// Steady traffic through pool and index touches no heap: a binary of its own, since it counts every
// allocation of the process.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "server/cache/prefix_index.h"
#include "tests/testing/heap_allocations.h"

namespace lamella {
namespace {

TEST(SteadyPrefixTest, LookupsPublishingAndEvictionsAllocateNothing) {
  constexpr int32_t kBlocks = 64;
  constexpr int32_t kBlockTokens = 16;
  constexpr int32_t kPromptBlocks = 12;
  BlockPool pool(kBlocks);
  PrefixIndex index(&pool, kBlockTokens);
  const PrefixScope scope = index.AcquireScope("a");
  std::vector<int32_t> tokens(kPromptBlocks * kBlockTokens);
  std::iota(tokens.begin(), tokens.end(), 0);
  BlockList list;
  list.Reserve(kPromptBlocks);

  EXPECT_GT(testing::HeapAllocations(), 0) << "the counter counts";
  const int64_t before = testing::HeapAllocations();
  for (int32_t i = 0; i < 500; ++i) {
    // The first four blocks are everybody's, the others change every second time.
    tokens[4 * kBlockTokens] = i / 2;
    const int32_t found = index.Match(scope, tokens, kPromptBlocks - 1, &list);
    ASSERT_TRUE(pool.Grow(&list, kPromptBlocks - found));
    index.Publish(scope, tokens, list, found, kPromptBlocks - found);
    list.ReleaseFront(2);
    list.Truncate(0);
  }
  EXPECT_EQ(testing::HeapAllocations() - before, 0);
  EXPECT_EQ(index.stats().hits, 499U);
  EXPECT_GT(index.stats().evictions, 1000U);
}

}  // namespace
}  // namespace lamella
