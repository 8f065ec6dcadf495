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
    switch (random() % 7) {
      case 0:
        (void)pool.Grow(&list, count);
        break;
      case 1:
        list.Truncate(count);
        break;
      case 2:
        list = pool.Share(lists[random() % lists.size()], 0);
        break;
      case 3:
        list.ReleaseFront(count);
        break;
      case 4:
        if (list.held() > 0) pool.Keep(list.ids().back());
        break;
      case 5:
        pool.Forget(static_cast<int32_t>(random() % kBlocks));
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

// A pool of four blocks, and what it said of evictions.
class BlockPoolCacheTest : public ::testing::Test, private BlockPool::EvictionListener {
 protected:
  BlockPoolCacheTest() { pool_.SetEvictionListener(this); }

  // `count` blocks that are used, kept and let go.
  void Cache(int32_t count) {
    const BlockList list = *pool_.Allocate(count);
    for (const int32_t id : list.ids()) pool_.Keep(id);
  }

  BlockPool pool_{4};
  std::vector<int32_t> evicted_;

 private:
  void OnEvicted(int32_t id) override { evicted_.push_back(id); }
};

TEST_F(BlockPoolCacheTest, AKeptBlockIsCachedWhenItsLastListLetsGo) {
  BlockList first = *pool_.Allocate(2);
  pool_.Keep(0);
  BlockList second = pool_.Share(first, 1);
  first = BlockList();
  EXPECT_EQ(pool_.cached_blocks(), 0);
  second = BlockList();
  EXPECT_EQ(pool_.cached_blocks(), 1);
  EXPECT_EQ(pool_.free_blocks(), 4) << "what is cached can be handed out";
  EXPECT_EQ(pool_.used_blocks(), 0);
  EXPECT_TRUE(pool_.CheckIntegrity().ok());
}

TEST_F(BlockPoolCacheTest, FreeBlocksGoBeforeCachedOnes) {
  Cache(2);
  const BlockList list = *pool_.Allocate(2);
  EXPECT_THAT(list.ids(), ElementsAre(2, 3));
  EXPECT_THAT(evicted_, ElementsAre());
  EXPECT_EQ(pool_.cached_blocks(), 2);
}

TEST_F(BlockPoolCacheTest, TheLeastRecentlyUsedIsEvictedFirst) {
  BlockList a = *pool_.Allocate(1);
  BlockList b = *pool_.Allocate(1);
  BlockList c = *pool_.Allocate(1);
  for (const int32_t id : {0, 1, 2}) pool_.Keep(id);
  b = BlockList();
  c = BlockList();
  a = BlockList();
  b = pool_.Adopt(std::vector<int32_t>{1});  // used again, and let go as the last
  b = BlockList();
  const BlockList all = *pool_.Allocate(4);
  EXPECT_THAT(evicted_, ElementsAre(2, 0, 1));
  EXPECT_FALSE(pool_.kept(1)) << "new contents are not worth keeping until someone says so";
  EXPECT_TRUE(pool_.CheckIntegrity().ok());
}

TEST_F(BlockPoolCacheTest, TheEndOfAListIsEvictedBeforeItsBeginning) {
  Cache(3);
  const BlockList all = *pool_.Allocate(4);
  EXPECT_THAT(evicted_, ElementsAre(2, 1, 0));
}

TEST_F(BlockPoolCacheTest, ARefusalEvictsNothing) {
  Cache(3);
  const BlockList list = *pool_.Allocate(1);
  EXPECT_FALSE(pool_.Allocate(4).has_value());
  EXPECT_THAT(evicted_, ElementsAre());
}

TEST_F(BlockPoolCacheTest, AdoptedBlocksAreNoVictims) {
  Cache(4);
  BlockList adopted = pool_.Adopt(std::vector<int32_t>{1, 3});
  EXPECT_EQ(pool_.references(1), 1);
  EXPECT_EQ(pool_.free_blocks(), 2);
  EXPECT_FALSE(pool_.Allocate(3).has_value());
  const BlockList list = *pool_.Allocate(2);
  EXPECT_THAT(evicted_, ElementsAre(2, 0));
  BlockList again = pool_.Adopt(std::vector<int32_t>{3});
  EXPECT_EQ(pool_.references(3), 2);
  EXPECT_TRUE(pool_.CheckIntegrity().ok());
}

TEST_F(BlockPoolCacheTest, AForgottenBlockIsFree) {
  Cache(2);
  BlockList used = pool_.Adopt(std::vector<int32_t>{0});
  pool_.Forget(0);
  pool_.Forget(1);
  pool_.Forget(1);
  EXPECT_EQ(pool_.cached_blocks(), 0);
  used = BlockList();
  EXPECT_EQ(pool_.cached_blocks(), 0);
  EXPECT_EQ(pool_.free_blocks(), 4);
  EXPECT_THAT(evicted_, ElementsAre());
  EXPECT_TRUE(pool_.CheckIntegrity().ok());
}

TEST(BlockPoolTest, AReleasedFrontKeepsItsEntries) {
  BlockPool pool(6);
  const BlockList below = *pool.Allocate(1);
  BlockList list = *pool.Allocate(4);
  list.ReleaseFront(2);
  EXPECT_THAT(list.ids(), ElementsAre(BlockList::kReleased, BlockList::kReleased, 3, 4));
  EXPECT_EQ(list.released(), 2);
  EXPECT_EQ(list.held(), 2);
  EXPECT_EQ(pool.used_blocks(), 3);
  list.ReleaseFront(2);
  list.ReleaseFront(1);
  EXPECT_EQ(pool.used_blocks(), 3) << "what is released is released once";
  EXPECT_EQ(pool.references(BlockList::kReleased), 1) << "of the list that owns block 0";
  list.ReleaseFront(9);
  EXPECT_EQ(list.released(), 4);
  EXPECT_EQ(pool.used_blocks(), 1);
  EXPECT_TRUE(pool.CheckIntegrity().ok());
}

TEST(BlockPoolTest, AReleasedFrontSurvivesSharingGrowingMovingAndTruncating) {
  BlockPool pool(6);
  BlockList list = *pool.Allocate(3);
  list.ReleaseFront(1);
  BlockList shared = pool.Share(list, 3);
  EXPECT_EQ(shared.released(), 1);
  EXPECT_EQ(pool.references(1), 2);
  EXPECT_EQ(pool.references(0), 0);
  ASSERT_TRUE(pool.Grow(&list, 1));
  EXPECT_THAT(list.ids(), ElementsAre(BlockList::kReleased, 1, 2, 0));
  BlockList moved(std::move(list));
  EXPECT_EQ(moved.released(), 1);
  moved.Truncate(1);
  EXPECT_EQ(moved.held(), 0);
  shared = std::move(moved);
  EXPECT_EQ(shared.released(), 1);
  shared.Truncate(0);
  EXPECT_EQ(shared.released(), 0);
  EXPECT_EQ(pool.used_blocks(), 0);
  EXPECT_TRUE(pool.CheckIntegrity().ok());
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
