// Law 2, neighbours don't matter: whatever else is in a call, and however the work is cut, every
// output element has the same bits. Random problems from fixed seeds.
#include <algorithm>

#include "tests/kernels/kernel_testing.h"

namespace lamella::kernels {
namespace {

using testing::AttentionProblem;
using testing::LinearProblem;
using testing::RandomCuts;
using testing::RandomFloats;
using testing::Range;
using testing::RunAttention;
using testing::RunLinear;
using testing::RunShrink;
using testing::SameBits;
using testing::SegmentSpec;

class KernelLawTest : public testing::TableTest {};

std::vector<SegmentSpec> RandomSegments(int32_t rows, std::mt19937& random) {
  std::vector<SegmentSpec> segments;
  for (int32_t row = 0; row < rows;) {
    const auto length = static_cast<int32_t>(1 + random() % (random() % 2 == 0 ? 1 : 9));
    const int32_t end = std::min(rows, row + length);
    if (random() % 3 != 0) {
      segments.push_back({row, end, static_cast<int32_t>(1 + random() % 40),
                          static_cast<uint32_t>(1 + random() % 4)});
    }
    row = end;
  }
  return segments;
}

LinearProblem RandomProblem(uint32_t seed, std::mt19937& random) {
  LinearProblem problem;
  problem.seed = seed;
  problem.rows = static_cast<int64_t>(1 + random() % (seed % 5 == 0 ? 80 : 20));
  problem.n = static_cast<int64_t>(1 + random() % 150);
  problem.k = static_cast<int64_t>(1 + random() % 200);
  problem.with_bias = random() % 2 == 0;
  problem.segments = RandomSegments(static_cast<int32_t>(problem.rows), random);
  return problem;
}

std::vector<float> RowsOf(const std::vector<float>& values, Range rows, int64_t width) {
  return {values.begin() + rows.begin * width, values.begin() + rows.end * width};
}

TEST_P(KernelLawTest, LinearRowsAreTheSameAloneAndInAnySplit) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    const LinearProblem problem = RandomProblem(seed, random);
    const std::vector<float> whole = RunLinear(table(), problem);
    for (int64_t row = 0; row < problem.rows; ++row) {
      ASSERT_TRUE(SameBits(RunLinear(table(), problem, {row, row + 1}),
                           RowsOf(whole, {row, row + 1}, problem.n)))
          << "seed " << seed << " row " << row;
    }
    for (const Range& part : RandomCuts(problem.rows, 1, random)) {
      ASSERT_TRUE(SameBits(RunLinear(table(), problem, part), RowsOf(whole, part, problem.n)))
          << "seed " << seed << " rows " << part.begin << " to " << part.end;
    }
  }
}

TEST_P(KernelLawTest, LinearRowsOfALongPromptAreTheSameAlone) {
  const LinearProblem problem = {.rows = 70, .n = 290, .k = 2100, .segments = {{3, 50, 16, 1}}};
  const std::vector<float> whole = RunLinear(table(), problem);
  for (const int64_t row : {0, 17, 49, 69}) {
    ASSERT_TRUE(SameBits(RunLinear(table(), problem, {row, row + 1}),
                         RowsOf(whole, {row, row + 1}, problem.n)))
        << row;
  }
}

TEST_P(KernelLawTest, LinearIsTheSameForAnyTileRanges) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    const LinearProblem problem = RandomProblem(seed, random);
    const int64_t tiles = (problem.n + kColumnTile - 1) / kColumnTile;
    ASSERT_TRUE(
        SameBits(RunLinear(table(), problem, {0, problem.rows}, RandomCuts(tiles, 1, random)),
                 RunLinear(table(), problem)))
        << "seed " << seed;
  }
}

// Cutting a segment in two, or sharing one row tile with other adapters, changes nothing.
TEST_P(KernelLawTest, LinearIsTheSameForAnySegmentation) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    LinearProblem problem = RandomProblem(seed, random);
    const std::vector<float> whole = RunLinear(table(), problem);
    std::vector<SegmentSpec> cut;
    for (const SegmentSpec& segment : problem.segments) {
      for (int32_t row = segment.row_begin; row < segment.row_end; ++row) {
        cut.push_back({row, row + 1, segment.rank, segment.seed});
      }
    }
    problem.segments = cut;
    ASSERT_TRUE(SameBits(RunLinear(table(), problem), whole)) << "seed " << seed;
  }
}

TEST_P(KernelLawTest, BaseRowsAreTheSameWithAndWithoutAdaptersBeside) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    LinearProblem problem = RandomProblem(seed, random);
    problem.segments = {{0, static_cast<int32_t>(problem.rows / 2), 9, 1}};
    const std::vector<float> mixed = RunLinear(table(), problem);
    problem.segments.clear();
    const Range base = {problem.rows / 2, problem.rows};
    ASSERT_TRUE(SameBits(RowsOf(mixed, base, problem.n),
                         RowsOf(RunLinear(table(), problem), base, problem.n)))
        << "seed " << seed;
  }
}

TEST_P(KernelLawTest, PackedRowsAreTheSameForAnyTileRanges) {
  constexpr int64_t kRows = 29;
  constexpr int64_t kK = 37;
  const std::vector<float> x = RandomFloats(kRows * kK, 1);
  const int64_t tiles = (kRows + table().row_tile - 1) / table().row_tile;
  std::vector<std::byte> whole = testing::NanBytes(table().packed_rows_bytes(kRows, kK));
  std::vector<std::byte> parts = whole;
  table().pack_rows(x.data(), kK, kRows, kK, 0, tiles, whole.data());
  std::mt19937 random(1);
  for (const Range& part : RandomCuts(tiles, 1, random)) {
    table().pack_rows(x.data(), kK, kRows, kK, part.begin, part.end, parts.data());
  }
  EXPECT_EQ(whole, parts);
}

TEST_P(KernelLawTest, ShrinkIsTheSameForAnyRowsAndRanks) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    const auto rows = static_cast<int64_t>(1 + random() % 12);
    const auto k = static_cast<int64_t>(1 + random() % 300);
    const auto rank = static_cast<int32_t>(1 + random() % 40);
    const std::vector<float> x = RandomFloats(rows * k, seed);
    const std::vector<float> a = RandomFloats(rank * k, seed + 1000);
    const std::vector<float> whole = RunShrink(table(), x, k, {0, rows}, a, rank);
    for (const Range& part : RandomCuts(rows, 1, random)) {
      ASSERT_TRUE(SameBits(RunShrink(table(), x, k, part, a, rank, RandomCuts(rank, 1, random)),
                           RowsOf(whole, part, rank)))
          << "seed " << seed;
    }
  }
}

TEST_P(KernelLawTest, AttentionRowsAreTheSameAloneAndInAnyTaskRanges) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    std::mt19937 random(seed);
    AttentionProblem problem;
    problem.seed = seed;
    problem.kv_heads = static_cast<int32_t>(1 + random() % 3);
    problem.q_heads = problem.kv_heads * static_cast<int32_t>(1 + random() % 9);
    problem.head_dim = static_cast<int32_t>(2 + random() % 40 * 2);
    problem.window = random() % 2 == 0 ? 0 : static_cast<int32_t>(1 + random() % 50);
    const auto rows = static_cast<int64_t>(1 + random() % 10);
    for (int64_t row = 0; row < rows; ++row) {
      problem.sequence_of.push_back(static_cast<int32_t>(random() % 3));
      problem.positions.push_back(static_cast<int32_t>(random() % 90));
    }
    const int64_t width = static_cast<int64_t>(problem.q_heads) * problem.head_dim;
    const std::vector<float> whole = RunAttention(table(), problem);
    ASSERT_TRUE(SameBits(
        RunAttention(table(), problem, {0, rows}, RandomCuts(rows * problem.kv_heads, 1, random)),
        whole))
        << "seed " << seed;
    for (int64_t row = 0; row < rows; ++row) {
      ASSERT_TRUE(SameBits(RunAttention(table(), problem, {row, row + 1}),
                           RowsOf(whole, {row, row + 1}, width)))
          << "seed " << seed << " row " << row;
    }
  }
}

// Values of the same keys must not depend on which blocks hold them: a prefix hit or a preemption
// moves them.
TEST_P(KernelLawTest, AttentionIsTheSameInOtherBlocks) {
  AttentionProblem alone = {
      .q_heads = 4, .kv_heads = 2, .head_dim = 32, .sequence_of = {0}, .positions = {70}};
  AttentionProblem moved = alone;
  // A second sequence takes blocks of its own after the first's.
  moved.sequence_of.push_back(1);
  moved.positions.push_back(40);
  const std::vector<float> expected = RunAttention(table(), alone);
  EXPECT_TRUE(SameBits(RowsOf(RunAttention(table(), moved), {0, 1}, 4 * 32), expected));
}

TEST_P(KernelLawTest, ElementwiseIsTheSameForAnyRanges) {
  constexpr int64_t kCount = 203;
  std::vector<float> a = RandomFloats(kCount, 1);
  const std::vector<float> b = RandomFloats(kCount, 2);
  for (float& value : a) value *= 8;
  std::mt19937 random(3);
  for (auto op : {&KernelTable::silu_mul, &KernelTable::gelu_tanh_mul}) {
    std::vector<float> whole(kCount);
    (table().*op)(a.data(), b.data(), whole.data(), kCount);
    std::vector<float> parts(kCount);
    for (const Range& part : RandomCuts(kCount, 1, random)) {
      (table().*op)(a.data() + part.begin, b.data() + part.begin, parts.data() + part.begin,
                    part.end - part.begin);
    }
    EXPECT_TRUE(SameBits(parts, whole));
  }
}

TEST_P(KernelLawTest, NormAndRopeRowsAreTheSameAlone) {
  constexpr int64_t kRows = 5;
  constexpr int32_t kDim = 44;
  const std::vector<float> x = RandomFloats(kRows * kDim, 1);
  const std::vector<float> weight = RandomFloats(kDim, 2);
  const std::vector<float> angles = RandomFloats(kRows * kDim / 2, 3);
  std::vector<float> norm(x.size());
  table().rms_norm(x.data(), kDim, kRows, kDim, weight.data(), 1e-6f, norm.data(), kDim);
  std::vector<float> turned = x;
  table().rope(turned.data(), kDim, kRows, 1, kDim, angles.data(), angles.data());
  for (int64_t row = 0; row < kRows; ++row) {
    std::vector<float> one(kDim);
    table().rms_norm(x.data() + row * kDim, kDim, 1, kDim, weight.data(), 1e-6f, one.data(), kDim);
    EXPECT_TRUE(SameBits(one, RowsOf(norm, {row, row + 1}, kDim)));
    std::vector<float> turn = RowsOf(x, {row, row + 1}, kDim);
    const float* angle = angles.data() + row * kDim / 2;
    table().rope(turn.data(), kDim, 1, 1, kDim, angle, angle);
    EXPECT_TRUE(SameBits(turn, RowsOf(turned, {row, row + 1}, kDim)));
  }
}

LAMELLA_INSTANTIATE_TABLES(KernelLawTest);

}  // namespace
}  // namespace lamella::kernels
