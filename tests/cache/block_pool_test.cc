#include "server/cache/block_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

namespace lamella {
namespace {

using ::testing::ElementsAre;

TEST(BlockPoolTest, AllocatesAllOrNothing) {
  BlockPool pool(4);
  auto three = pool.Allocate(3);
  ASSERT_TRUE(three.has_value());
  EXPECT_THAT(three->ids(), ElementsAre(0, 1, 2));
  EXPECT_FALSE(pool.Allocate(2).has_value());
  EXPECT_EQ(pool.free_blocks(), 1);
  EXPECT_TRUE(pool.CheckIntegrity().ok());
}

TEST(BlockPoolTest, ListsGiveBackWhatTheyOwn) {
  BlockPool pool(4);
  {
    auto list = pool.Allocate(4);
    EXPECT_EQ(pool.used_blocks(), 4);
  }
  EXPECT_EQ(pool.used_blocks(), 0);
  EXPECT_TRUE(pool.CheckIntegrity().ok());
}

TEST(BlockPoolTest, GrowsAllOrNothing) {
  BlockPool pool(4);
  BlockList list;
  EXPECT_TRUE(pool.Grow(&list, 3));
  EXPECT_FALSE(pool.Grow(&list, 2));
  EXPECT_THAT(list.ids(), ElementsAre(0, 1, 2));
  EXPECT_TRUE(pool.Grow(&list, 0));
  EXPECT_TRUE(pool.Grow(&list, 1));
  EXPECT_EQ(pool.free_blocks(), 0);
}

TEST(BlockPoolTest, TruncateRollsAGrowBack) {
  BlockPool pool(8);
  BlockList list;
  ASSERT_TRUE(pool.Grow(&list, 2));
  ASSERT_TRUE(pool.Grow(&list, 3));
  list.Truncate(2);
  EXPECT_THAT(list.ids(), ElementsAre(0, 1));
  EXPECT_EQ(pool.free_blocks(), 6);
  list.Truncate(5);
  EXPECT_EQ(list.size(), 2);
  ASSERT_TRUE(pool.Grow(&list, 1));
  EXPECT_THAT(list.ids(), ElementsAre(0, 1, 2));
}

TEST(BlockPoolTest, MovesCarryOwnership) {
  BlockPool pool(4);
  BlockList a = *pool.Allocate(2);
  BlockList b(std::move(a));
  EXPECT_EQ(pool.used_blocks(), 2);
  BlockList c = *pool.Allocate(2);
  c = std::move(b);
  EXPECT_EQ(pool.used_blocks(), 2);
  EXPECT_THAT(c.ids(), ElementsAre(0, 1));
  c = BlockList();
  EXPECT_EQ(pool.used_blocks(), 0);
}

TEST(BlockPoolTest, SharedBlocksLiveUntilTheLastList) {
  BlockPool pool(4);
  BlockList first = *pool.Allocate(3);
  {
    BlockList second = pool.Share(first, 2);
    EXPECT_EQ(pool.references(0), 2);
    EXPECT_EQ(pool.references(2), 1);
    first = BlockList();
    EXPECT_EQ(pool.used_blocks(), 2);
    EXPECT_THAT(second.ids(), ElementsAre(0, 1));
    EXPECT_TRUE(pool.CheckIntegrity().ok());
  }
  EXPECT_EQ(pool.used_blocks(), 0);
}

TEST(BlockPoolTest, SteadyStateKeepsItsStorage) {
  BlockPool pool(8);
  BlockList list;
  list.Reserve(8);
  const int32_t* const storage = list.ids().data();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(pool.Grow(&list, 8));
    list.Truncate(0);
  }
  EXPECT_EQ(list.ids().data(), storage);
}

TEST(BlockPoolTest, NothingIsLostUnderARandomWalk) {
  constexpr int32_t kBlocks = 32;
  BlockPool pool(kBlocks);
  std::vector<BlockList> lists(6);
  std::mt19937 random(7);  // NOLINT: the same walk every time
  for (int i = 0; i < 5000; ++i) {
    BlockList& list = lists[random() % lists.size()];
    const auto count = static_cast<int32_t>(random() % 8);
    switch (random() % 4) {
      case 0:
        (void)pool.Grow(&list, count);
        break;
      case 1:
        list.Truncate(count);
        break;
      case 2:
        list = pool.Share(lists[random() % lists.size()], 0);
        break;
      default: {
        const BlockList& other = lists[random() % lists.size()];
        if (&other != &list) list = pool.Share(other, std::min(count, other.size()));
      }
    }
    ASSERT_TRUE(pool.CheckIntegrity().ok());
    ASSERT_EQ(pool.free_blocks() + pool.used_blocks(), kBlocks);
  }
}

TEST(BlockPoolDeathTest, AListMustNotOutliveItsPool) {
  EXPECT_DEATH(
      {
        BlockList list;
        BlockPool pool(2);
        (void)pool.Grow(&list, 1);
      },
      "");
}

}  // namespace
}  // namespace lamella
