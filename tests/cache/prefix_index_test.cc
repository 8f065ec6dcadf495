#include "server/cache/prefix_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace lamella {
namespace {

using ::testing::ElementsAre;

using Tokens = std::vector<int32_t>;

// Two tokens to a block, eight blocks.
class PrefixIndexTest : public ::testing::Test {
 protected:
  ~PrefixIndexTest() override {
    EXPECT_EQ(index_.CheckIntegrity(), absl::OkStatus());
    EXPECT_EQ(pool_.CheckIntegrity(), absl::OkStatus());
  }

  // What a request does: takes what is there and computes the rest.
  BlockList Compute(const PrefixScope& scope, const Tokens& tokens) {
    const int32_t blocks = static_cast<int32_t>(tokens.size()) / 2;
    BlockList list;
    const int32_t found = index_.Match(scope, tokens, blocks, &list);
    EXPECT_TRUE(pool_.Grow(&list, blocks - found));
    index_.Publish(scope, tokens, list, found, blocks - found);
    return list;
  }
  int32_t Count(const PrefixScope& scope, const Tokens& tokens, int32_t max_blocks = 100) const {
    return index_.CountMatch(scope, tokens, max_blocks);
  }

  BlockPool pool_{8};
  PrefixIndex index_{&pool_, 2};
  PrefixScope scope_ = index_.AcquireScope("a");
};

TEST_F(PrefixIndexTest, FindsTheLongestChain) {
  Compute(scope_, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(Count(scope_, {1, 2, 3, 4, 5, 6}), 3);
  EXPECT_EQ(Count(scope_, {1, 2, 3, 4, 5, 7}), 2);
  EXPECT_EQ(Count(scope_, {1, 2, 3, 4, 5}), 2) << "full blocks alone are found";
  EXPECT_EQ(Count(scope_, {1, 2, 9, 9, 5, 6}), 1) << "the same tokens behind others are others";
  EXPECT_EQ(Count(scope_, {3, 4}), 0);
  EXPECT_EQ(Count(scope_, {}), 0);
  EXPECT_EQ(Count(scope_, {1, 2, 3, 4, 5, 6}, 2), 2);
  EXPECT_EQ(Count(scope_, {1, 2, 3, 4, 5, 6}, 0), 0);
}

TEST_F(PrefixIndexTest, WhatIsFoundIsReferenced) {
  Compute(scope_, {1, 2, 3, 4});
  EXPECT_EQ(pool_.cached_blocks(), 2);
  BlockList list;
  EXPECT_EQ(index_.Match(scope_, Tokens{1, 2, 3, 4, 5}, 2, &list), 2);
  EXPECT_THAT(list.ids(), ElementsAre(0, 1));
  EXPECT_EQ(pool_.used_blocks(), 2);
  EXPECT_FALSE(pool_.Allocate(7).has_value());
}

TEST_F(PrefixIndexTest, BlocksInUseAreFoundToo) {
  const BlockList first = Compute(scope_, {1, 2});
  const BlockList second = Compute(scope_, {1, 2, 3, 4});
  EXPECT_EQ(second.ids()[0], first.ids()[0]);
  EXPECT_EQ(pool_.references(first.ids()[0]), 2);
}

TEST_F(PrefixIndexTest, AnotherScopeNeverHits) {
  const PrefixScope other = index_.AcquireScope("b");
  const PrefixScope same = index_.AcquireScope("a");
  Compute(scope_, {1, 2, 3, 4});
  EXPECT_EQ(Count(other, {1, 2, 3, 4}), 0);
  EXPECT_EQ(Count(same, {1, 2, 3, 4}), 2);
  Compute(other, {1, 2});
  EXPECT_EQ(Count(other, {1, 2, 3, 4}), 1) << "its own block does not lead to another scope's";
}

TEST_F(PrefixIndexTest, AScopeIsRememberedWhileSomethingOfItIs) {
  {
    const PrefixScope other = index_.AcquireScope("b");
    EXPECT_EQ(index_.stats().scopes, 2);
    Compute(other, {1, 2});
  }
  EXPECT_EQ(Count(index_.AcquireScope("b"), {1, 2}), 1);
  EXPECT_EQ(index_.stats().scopes, 2);
  (void)*pool_.Allocate(8);
  EXPECT_EQ(index_.stats().scopes, 1) << "with its last block the scope is forgotten";
  EXPECT_EQ(Count(index_.AcquireScope("b"), {1, 2}), 0);
}

TEST_F(PrefixIndexTest, AFloodOfScopesLeavesNothingBehind) {
  for (int i = 0; i < 1000; ++i) {
    Compute(index_.AcquireScope("salt " + std::to_string(i)), {1, 2});
    ASSERT_LE(index_.stats().scopes, 9) << "one for each block, and the one that is held";
  }
}

TEST_F(PrefixIndexTest, AnEqualBlockStaysPrivate) {
  const Tokens tokens = {1, 2, 3, 4};
  BlockList first = *pool_.Allocate(2);
  BlockList second = *pool_.Allocate(2);  // computed side by side
  index_.Publish(scope_, tokens, first, 0, 2);
  index_.Publish(scope_, tokens, second, 0, 2);
  EXPECT_EQ(index_.stats().blocks, 2);
  EXPECT_FALSE(pool_.kept(second.ids()[0]));
  BlockList found;
  index_.Match(scope_, tokens, 2, &found);
  EXPECT_THAT(found.ids(), ElementsAre(first.ids()[0], first.ids()[1]));
}

TEST_F(PrefixIndexTest, AChainGoesOnBehindAnEqualBlock) {
  BlockList first = *pool_.Allocate(1);
  BlockList second = *pool_.Allocate(2);
  index_.Publish(scope_, Tokens{1, 2}, first, 0, 1);
  index_.Publish(scope_, Tokens{1, 2, 3, 4}, second, 0, 1);
  index_.Publish(scope_, Tokens{1, 2, 3, 4}, second, 1, 1);
  BlockList found;
  index_.Match(scope_, Tokens{1, 2, 3, 4}, 2, &found);
  EXPECT_THAT(found.ids(), ElementsAre(first.ids()[0], second.ids()[1]));
}

TEST_F(PrefixIndexTest, PublishingTwiceChangesNothing) {
  const BlockList list = Compute(scope_, {1, 2, 3, 4});
  index_.Publish(scope_, Tokens{1, 2, 3, 4}, list, 0, 2);
  index_.Publish(scope_, Tokens{1, 2, 3, 4}, list, 1, 1);
  EXPECT_EQ(index_.stats().published, 2U);
}

TEST_F(PrefixIndexTest, WhatTheTokensBeforeWereComputedWithIsNeverGuessed) {
  // A window has moved on: the first block is gone, and nobody published it.
  BlockList list = *pool_.Allocate(2);
  list.ReleaseFront(1);
  index_.Publish(scope_, Tokens{1, 2, 3, 4}, list, 0, 2);
  EXPECT_EQ(index_.stats().blocks, 0);
  // It was published by someone else: the chain goes on from there.
  const BlockList other = Compute(scope_, {1, 2});
  index_.Publish(scope_, Tokens{1, 2, 3, 4}, list, 1, 1);
  EXPECT_EQ(Count(scope_, {1, 2, 3, 4}), 2);
}

TEST_F(PrefixIndexTest, TheColdestPrefixIsEvictedFirst) {
  Compute(scope_, {1, 2});
  Compute(scope_, {3, 4});
  Compute(scope_, {1, 2});  // used again
  const BlockList list = *pool_.Allocate(7);
  EXPECT_EQ(Count(scope_, {3, 4}), 0);
  EXPECT_EQ(Count(scope_, {1, 2}), 1);
  EXPECT_EQ(index_.stats().evictions, 1U);
}

TEST_F(PrefixIndexTest, AQuestionIsNoUse) {
  Compute(scope_, {1, 2});
  Compute(scope_, {3, 4});
  const auto before = index_.stats();
  EXPECT_EQ(Count(scope_, {1, 2}), 1);
  EXPECT_EQ(index_.stats().lookups, before.lookups);
  const BlockList list = *pool_.Allocate(7);
  EXPECT_EQ(Count(scope_, {1, 2}), 0);
  EXPECT_EQ(Count(scope_, {3, 4}), 1);
}

TEST_F(PrefixIndexTest, AnEvictedParentsChildIsNeverFoundThroughItsSuccessor) {
  // The child outlives its parent: a window let the parent go.
  BlockList list = Compute(scope_, {1, 2, 3, 4});
  list.ReleaseFront(1);
  BlockList rest = *pool_.Allocate(7);
  EXPECT_EQ(Count(scope_, {1, 2, 3, 4}), 0);
  rest = BlockList();
  // The same tokens, and in the parent's very block: still another parent.
  const BlockList successor = Compute(scope_, {1, 2});
  EXPECT_EQ(Count(scope_, {1, 2, 3, 4}), 1);
  // Its owner, who knows what it holds, may publish it anew.
  index_.Publish(scope_, Tokens{1, 2, 3, 4}, list, 1, 1);
  EXPECT_EQ(Count(scope_, {1, 2, 3, 4}), 2);
}

TEST_F(PrefixIndexTest, ClearForgetsAndTakesNothingAway) {
  Compute(scope_, {1, 2});
  const BlockList list = Compute(scope_, {3, 4});
  index_.Clear();
  EXPECT_EQ(Count(scope_, {1, 2}), 0);
  EXPECT_EQ(Count(scope_, {3, 4}), 0);
  EXPECT_EQ(pool_.cached_blocks(), 0);
  EXPECT_EQ(pool_.used_blocks(), 1);
  EXPECT_EQ(index_.stats().blocks, 0);
  EXPECT_EQ(index_.stats().evictions, 0U);
}

TEST_F(PrefixIndexTest, LookupsAndHitsAreCounted) {
  Compute(scope_, {1, 2, 3, 4});
  Compute(scope_, {1, 2, 3, 4});
  const auto stats = index_.stats();
  EXPECT_EQ(stats.lookups, 2U);
  EXPECT_EQ(stats.hits, 1U);
  EXPECT_EQ(stats.hit_blocks, 2U);
  EXPECT_EQ(stats.published, 2U);
  EXPECT_EQ(stats.blocks, 2);
}

TEST(PrefixIndexDeathTest, AScopeMustNotOutliveItsIndex) {
  EXPECT_DEATH(
      {
        BlockPool pool(2);
        PrefixScope scope;
        PrefixIndex index(&pool, 2);
        scope = index.AcquireScope("a");
      },
      "");
}

}  // namespace
}  // namespace lamella
