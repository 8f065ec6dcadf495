// Paged attention and the cache of every table against the reference. Every cache slot that no row
// may see is NaN in all of these cases, so a finite answer also proves that none was read.
//
// Tolerance: keys, values and probabilities are in [-1, 1], so an output is too; sums run over at
// most a few hundred positions.
#include "tests/kernels/kernel_testing.h"

namespace lamella::kernels {
namespace {

using testing::AttentionProblem;
using testing::Near;
using testing::RunAttention;

constexpr float kTolerance = 2e-5f;

class AttentionTest : public testing::TableTest {};

void ExpectMatch(const KernelTable& table, const KernelTable& oracle,
                 const AttentionProblem& problem) {
  ASSERT_TRUE(Near(RunAttention(table, problem), RunAttention(oracle, problem), kTolerance))
      << "heads " << problem.q_heads << "/" << problem.kv_heads << " dim " << problem.head_dim
      << " window " << problem.window;
}

TEST_P(AttentionTest, MatchesReferenceForEveryGroupSize) {
  for (int32_t group : {1, 2, 3, 4, 5, 6, 7, 8, 12, 16}) {
    for (int32_t kv_heads : {1, 3}) {
      ExpectMatch(table(), oracle(),
                  {.q_heads = group * kv_heads,
                   .kv_heads = kv_heads,
                   .head_dim = 32,
                   .sequence_of = {0, 0, 1, 2},
                   .positions = {0, 37, 15, 16}});
    }
  }
}

TEST_P(AttentionTest, MatchesReferenceForEveryHeadSize) {
  for (int32_t head_dim : {2, 8, 16, 20, 40, 64, 80, 128, 256}) {
    for (int32_t group : {1, 3, 4}) {
      ExpectMatch(table(), oracle(),
                  {.q_heads = 2 * group,
                   .kv_heads = 2,
                   .head_dim = head_dim,
                   .sequence_of = {0, 1},
                   .positions = {50, 5}});
    }
  }
}

TEST_P(AttentionTest, MatchesReferenceAtEveryPosition) {
  AttentionProblem problem = {.q_heads = 3, .kv_heads = 1, .head_dim = 16};
  for (int32_t position = 0; position < 100; ++position) {
    problem.positions.push_back(position);
    problem.sequence_of.push_back(0);
  }
  for (int32_t position : {127, 128, 300, 511}) {
    problem.positions.push_back(position);
    problem.sequence_of.push_back(1);
  }
  ExpectMatch(table(), oracle(), problem);
}

TEST_P(AttentionTest, MatchesReferenceForSlidingWindows) {
  for (int32_t window : {1, 2, 15, 16, 17, 33, 64, 1000}) {
    ExpectMatch(table(), oracle(),
                {.q_heads = 4,
                 .kv_heads = 1,
                 .head_dim = 48,
                 .window = window,
                 .sequence_of = {0, 0, 0, 1, 1, 1},
                 .positions = {0, 14, 120, 16, 31, 32}});
  }
}

// An engine may free and reuse what fell out of the window.
TEST_P(AttentionTest, BlocksWhollyBeforeTheWindowAreNeverLookedUp) {
  for (const int32_t group : {1, 2, 4, 6}) {
    AttentionProblem problem = {.q_heads = group, .kv_heads = 1, .head_dim = 40};
    for (const int32_t position : {0, 15, 16, 47, 48, 63, 64, 120, 300}) {
      problem.sequence_of.push_back(0);
      problem.positions.push_back(position);
    }
    for (const int32_t window : {1, 2, 16, 17, 33, 64}) {
      problem.window = window;
      problem.forget_before_window = false;
      const std::vector<float> whole = RunAttention(table(), problem);
      problem.forget_before_window = true;
      EXPECT_EQ(RunAttention(table(), problem), whole) << group << " window " << window;
    }
  }
}

// With one position the weights are 1 and the output is its value.
TEST_P(AttentionTest, OnePositionReturnsItsValue) {
  constexpr int32_t kDim = 24;
  const std::vector<float> k = testing::RandomFloats(kDim, 1);
  std::vector<float> v(kDim);
  for (int32_t d = 0; d < kDim; ++d) v[d] = static_cast<float>(d) - 9;  // exact in bfloat16
  const size_t bytes = 2 * table().kv_block_bytes(kDim);
  std::vector<std::byte> k_cache = testing::NanBytes(bytes);
  std::vector<std::byte> v_cache = testing::NanBytes(bytes);
  const int32_t position = 0;
  const int32_t block_table[] = {1};
  const int32_t* tables[] = {block_table};
  table().kv_write({.k = k.data(),
                    .v = v.data(),
                    .ldk = kDim,
                    .ldv = kDim,
                    .k_cache = k_cache.data(),
                    .v_cache = v_cache.data(),
                    .positions = &position,
                    .block_tables = tables,
                    .kv_heads = 1,
                    .head_dim = kDim},
                   0, 1);
  std::vector<float> scratch(table().attention_scratch_floats(1, 1, 0));
  std::vector<float> out(kDim);
  table().attention({.q = k.data(),
                     .ldq = kDim,
                     .k_cache = k_cache.data(),
                     .v_cache = v_cache.data(),
                     .positions = &position,
                     .block_tables = tables,
                     .q_heads = 1,
                     .kv_heads = 1,
                     .head_dim = kDim,
                     .scale = 1,
                     .window = 0,
                     .out = out.data(),
                     .ldo = kDim},
                    0, 1, scratch.data());
  // Half of one of 127 steps of the largest.
  const float tolerance = table().kv_type == KvType::kInt8 ? 0.5F * 14 / 127 + 1e-6F : 0;
  EXPECT_TRUE(Near(out, v, tolerance));
}

// A NaN that belongs to the row must come out: nothing may hide a broken model.
TEST_P(AttentionTest, NanInQueryComesOut) {
  constexpr int32_t kDim = 16;
  const std::vector<float> k = testing::RandomFloats(kDim, 1);
  std::vector<float> q = k;
  q[3] = testing::kNan;
  std::vector<std::byte> k_cache = testing::NanBytes(table().kv_block_bytes(kDim));
  std::vector<std::byte> v_cache = k_cache;
  const int32_t position = 0;
  const int32_t block_table[] = {0};
  const int32_t* tables[] = {block_table};
  table().kv_write({.k = k.data(),
                    .v = k.data(),
                    .ldk = kDim,
                    .ldv = kDim,
                    .k_cache = k_cache.data(),
                    .v_cache = v_cache.data(),
                    .positions = &position,
                    .block_tables = tables,
                    .kv_heads = 1,
                    .head_dim = kDim},
                   0, 1);
  std::vector<float> scratch(table().attention_scratch_floats(1, 1, 0));
  std::vector<float> out(kDim);
  table().attention({.q = q.data(),
                     .ldq = kDim,
                     .k_cache = k_cache.data(),
                     .v_cache = v_cache.data(),
                     .positions = &position,
                     .block_tables = tables,
                     .q_heads = 1,
                     .kv_heads = 1,
                     .head_dim = kDim,
                     .scale = 1,
                     .window = 0,
                     .out = out.data(),
                     .ldo = kDim},
                    0, 1, scratch.data());
  for (float value : out) EXPECT_TRUE(std::isnan(value));
}

LAMELLA_INSTANTIATE_TABLES(AttentionTest);

}  // namespace
}  // namespace lamella::kernels
