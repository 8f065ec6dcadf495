// Linear layers, packing and low-rank terms of every table against the reference.
//
// Tolerance: the reference sums in double, so what differs is rounding of float sums (and, where a
// table says so, of activations). Inputs are uniform in [-1, 1]: the error of a float chain over k
// products grows with sqrt(k) times the size of its partial sums, sqrt(k) / 3.
#include <algorithm>

#include "server/kernels/bf16.h"
#include "tests/kernels/kernel_testing.h"
#include "tests/kernels/portable_twin.h"

namespace lamella::kernels {
namespace {

using testing::ActivationError;
using testing::LinearProblem;
using testing::NanBytes;
using testing::Near;
using testing::RandomFloats;
using testing::RunLinear;
using testing::RunShrink;
using testing::SameBits;
using testing::SegmentSpec;

float Tolerance(const testing::TableId& id, int64_t k, int32_t rank = 0) {
  const auto terms = static_cast<float>(k);
  // A low-rank term multiplies sums over k again.
  const float size = std::sqrt(terms) * (1.0f + 0.5f * std::sqrt(static_cast<float>(rank)));
  const float float_error = 1e-6f + 2e-7f * size * std::sqrt(terms + static_cast<float>(rank));
  // Products with rounded activations: independent errors of at most this each, 5 sigma.
  return float_error + 5 * ActivationError(id) / std::sqrt(3.0f) * std::sqrt(terms);
}

class LinearTest : public testing::TableTest {};
class PlainLinearTest : public testing::TableTest {};  // on a base that is not quantized

TEST_P(LinearTest, MatchesReferenceForOddSizes) {
  for (int64_t n : {1, 15, 16, 17, 33, 64, 100}) {
    for (int64_t k : {1, 2, 3, 15, 16, 31, 33, 100, 513}) {
      for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 13}) {
        const LinearProblem problem = {.rows = rows, .n = n, .k = k, .with_bias = n % 2 == 1};
        ASSERT_TRUE(Near(RunLinear(table(), problem), RunLinear(oracle(), problem),
                         Tolerance(GetParam(), k)))
            << n << " " << k << " " << rows;
      }
    }
  }
}

TEST_P(LinearTest, MatchesReferenceFromOneRowTo300) {
  for (int64_t rows :
       {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 17, 24, 31, 32, 48, 64, 100, 150, 299, 300}) {
    const LinearProblem problem = {.rows = rows, .n = 40, .k = 130};
    ASSERT_TRUE(
        Near(RunLinear(table(), problem), RunLinear(oracle(), problem), Tolerance(GetParam(), 130)))
        << rows;
  }
}

TEST_P(LinearTest, MatchesReferenceForRealSizes) {
  const LinearProblem problem = {.rows = 9, .n = 96, .k = 4096, .segments = {{2, 7, 16, 1}}};
  ASSERT_TRUE(Near(RunLinear(table(), problem), RunLinear(oracle(), problem),
                   Tolerance(GetParam(), 4096, 16)));
}

// Blocks of columns and of k that stay in a cache, the last of both smaller, whatever the precision.
TEST_P(LinearTest, MatchesReferenceForAPromptOfManyBlocks) {
  const LinearProblem problem = {
      .rows = 70, .n = 290, .k = 2100, .with_bias = true, .segments = {{3, 50, 16, 1}}};
  ASSERT_TRUE(Near(RunLinear(table(), problem), RunLinear(oracle(), problem),
                   Tolerance(GetParam(), 2100, 16)));
}

TEST_P(LinearTest, MatchesReferenceForRanks1To256) {
  for (int32_t rank : {1, 2, 3, 4, 5, 7, 8, 12, 16, 31, 64, 100, 128, 255, 256}) {
    const LinearProblem problem = {.rows = 5,
                                   .n = 33,
                                   .k = 40,
                                   .with_bias = true,
                                   .segments = {{0, 3, rank, 1}, {4, 5, rank, 2}}};
    ASSERT_TRUE(Near(RunLinear(table(), problem), RunLinear(oracle(), problem),
                     Tolerance(GetParam(), 40, rank)))
        << rank;
  }
}

TEST_P(LinearTest, MatchesReferenceForSegmentsOfAllShapes) {
  const std::vector<std::vector<SegmentSpec>> shapes = {
      {{0, 20, 8, 1}},                                                // one adapter
      {{3, 3, 8, 1}, {5, 6, 4, 2}},                                   // empty, one row
      {{0, 1, 3, 1}, {1, 2, 5, 2}, {2, 3, 200, 3}, {3, 4, 1, 4}},     // all distinct
      {{0, 7, 16, 1}, {7, 8, 2, 2}, {8, 15, 9, 3}, {19, 20, 16, 1}},  // across row tiles
      {{0, 2, 4, 1}, {2, 4, 4, 2}, {4, 6, 4, 3}, {6, 9, 4, 4}, {9, 14, 4, 5}},
      {{0, 0, 4, 1}, {20, 20, 4, 2}},
  };
  for (const auto& segments : shapes) {
    const LinearProblem problem = {
        .rows = 20, .n = 50, .k = 48, .with_bias = true, .segments = segments};
    ASSERT_TRUE(Near(RunLinear(table(), problem), RunLinear(oracle(), problem),
                     Tolerance(GetParam(), 48, 200)));
  }
}

// Values that a table must neither read for another row nor multiply by a padding zero.
TEST_P(LinearTest, NanStaysInItsRow) {
  constexpr int64_t kRows = 9;
  constexpr int64_t kN = 20;
  constexpr int64_t kK = 19;
  std::vector<float> x = RandomFloats(kRows * kK, 1);
  x[4 * kK + 7] = testing::kNan;
  const std::vector<float> w = RandomFloats(kN * kK, 2);
  std::vector<std::byte> packed_w = NanBytes(table().packed_linear_bytes(kN, kK));
  table().pack_linear(w.data(), 0, kN, kN, kK, packed_w.data());
  std::vector<std::byte> packed_x = NanBytes(table().packed_rows_bytes(kRows, kK));
  table().pack_rows(x.data(), kK, kRows, kK, 0, (kRows + table().row_tile - 1) / table().row_tile,
                    packed_x.data());
  std::vector<float> y(kRows * kN);
  table().linear({.packed_x = packed_x.data(),
                  .rows = kRows,
                  .packed_w = packed_w.data(),
                  .n = kN,
                  .k = kK,
                  .y = y.data(),
                  .ldy = kN},
                 0, 2);
  for (int64_t i = 0; i < kRows * kN; ++i) EXPECT_EQ(std::isnan(y[i]), i / kN == 4) << i;
}

TEST_P(PlainLinearTest, UnpackReturnsRoundedWeights) {
  constexpr int64_t kN = 35;
  constexpr int64_t kK = 21;
  std::vector<float> w = RandomFloats(kN * kK, 3);
  // Where whole blocks are packed, and where single values are.
  const std::vector<float> special = {std::numeric_limits<float>::infinity(),
                                      -std::numeric_limits<float>::infinity(),
                                      std::numeric_limits<float>::max(),
                                      testing::kNan,
                                      1 + 0x1p-8F,
                                      1 + 0x3p-8F,
                                      1 + 0x1p-8F + 0x1p-20F,
                                      -0.0F};
  for (const int64_t row : {0, 9, 20, 34}) {
    std::copy(special.begin(), special.end(), w.begin() + row * kK);
    std::copy(special.begin(), special.end(), w.begin() + row * kK + 13);
  }
  std::vector<std::byte> packed = NanBytes(table().packed_linear_bytes(kN, kK));
  // In two ranges, out of order.
  table().pack_linear(w.data() + 16 * kK, 16, kN - 16, kN, kK, packed.data());
  table().pack_linear(w.data(), 0, 16, kN, kK, packed.data());
  for (int64_t row = 0; row < kN; ++row) {
    std::vector<float> out(kK);
    table().unpack_row(packed.data(), kN, kK, row, out.data());
    for (int64_t i = 0; i < kK; ++i) {
      const float value = w[row * kK + i];
      const float expected =
          table().weight_type == WeightType::kF32 ? value : ToFloat(RoundToBF16(value));
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(out[i]));
      } else {
        EXPECT_EQ(out[i], expected);
        EXPECT_EQ(std::signbit(out[i]), std::signbit(expected));
      }
    }
  }
}

// One-element factors make every term visible: the scale of 1/4 is inside b.
TEST_P(PlainLinearTest, KnownAnswer) {
  EXPECT_EQ(
      testing::RunOneOutput(table(), {.w = {2, 3}, .x = {5, 7}, .bias = 1000, .b = 4, .v = 100}),
      10 + 21 + 1000 + 100);
}

TEST_P(LinearTest, AdapterBytesAreTrueRank) {
  EXPECT_EQ(table().lora_a_bytes(5, 30), 5 * 30 * table().element_bytes);
  EXPECT_EQ(table().lora_b_bytes(30, 5), 32 * 5 * table().element_bytes);
}

// A unit vector picks one number of A as it was packed: rounded to nearest, ties to even, in its place.
TEST_P(LinearTest, PackedAHasEveryNumberInItsPlace) {
  for (const int64_t k : {int64_t{32}, int64_t{45}, int64_t{96}}) {
    std::vector<float> a = RandomFloats(k, 7);
    a[1] = 1.0F + 0x1p-8F;      // a tie, down to even
    a[2] = 1.0F + 3 * 0x1p-8F;  // a tie, up to even
    a[17] = -1.0F - 0x1.2p-8F;  // above a tie
    a[18] = 0x1p-130F;          // subnormal
    std::vector<float> x(static_cast<size_t>(k * k));
    for (int64_t i = 0; i < k; ++i) x[static_cast<size_t>(i * k + i)] = 1.0F;
    auto packed = NanBytes(table().lora_a_bytes(1, k));
    table().pack_lora_a(a.data(), 1, k, packed.data());
    std::vector<float> v(static_cast<size_t>(k));
    table().lora_shrink({.x = x.data(),
                         .ldx = k,
                         .row_begin = 0,
                         .row_end = static_cast<int32_t>(k),
                         .a = packed.data(),
                         .rank = 1,
                         .k = k,
                         .v = v.data(),
                         .ldv = 1},
                        0, 1);
    for (int64_t i = 0; i < k; ++i) {
      const float value = a[static_cast<size_t>(i)];
      const float want =
          table().weight_type == WeightType::kF32 ? value : ToFloat(RoundToBF16(value));
      EXPECT_EQ(v[static_cast<size_t>(i)], want) << "k = " << k << ", " << i;
    }
  }
}

TEST_P(LinearTest, ShrinkMatchesReference) {
  for (int64_t k : {1, 7, 8, 15, 16, 17, 64, 250, 2048}) {
    for (int32_t rank : {1, 2, 3, 4, 5, 6, 7, 8, 17, 256}) {
      for (int64_t rows : {0, 1, 2, 3, 4, 5, 7}) {
        if (k > 250 && rank > 17) continue;
        const std::vector<float> x = RandomFloats((rows + 1) * k, 5);
        const std::vector<float> a = RandomFloats(rank * k, 6);
        ASSERT_TRUE(Near(RunShrink(table(), x, k, {1, rows + 1}, a, rank),
                         RunShrink(oracle(), x, k, {1, rows + 1}, a, rank),
                         Tolerance(GetParam(), k)))
            << k << " " << rank << " " << rows;
      }
    }
  }
}

// What tests on other processors rely on: the twin does what the processor does, to the bit.
TEST(PortableTwinTest, EqualsTheProcessorItStandsFor) {
  bool compared = false;
  for (const MatmulPrecision precision : {MatmulPrecision::kHigh, MatmulPrecision::kMedium}) {
    const std::pair<Isa, const KernelTable*> twins[] = {
        {Isa::kAvx512Bf16, &testing::DotTwinTable(precision)},
        {Isa::kAmx, &testing::MatrixTwinTable(precision)}};
    for (const auto& [isa, twin] : twins) {
      const KernelTable* table =
          GetKernelTable(isa, WeightType::kBF16, Quantization::kNone, KvType::kServing, precision);
      if (table == nullptr) continue;
      for (const int64_t rows : {1, 5, 16, 17, 40}) {
        const LinearProblem problem = {.rows = rows, .n = 50, .k = 77, .with_bias = true};
        EXPECT_TRUE(SameBits(RunLinear(*table, problem), RunLinear(*twin, problem)))
            << IsaName(isa) << " " << rows;
      }
      const LinearProblem blocks = {.rows = 70, .n = 290, .k = 2100};
      EXPECT_TRUE(SameBits(RunLinear(*table, blocks), RunLinear(*twin, blocks))) << IsaName(isa);
      compared = true;
    }
  }
  if (!compared) GTEST_SKIP() << "no processor to compare with";
}

// One chain over k ascending, as wide as the registers may be.
TEST(Avx512Test, EqualsAvx2ToTheBit) {
  if (!IsaAvailable(Isa::kAvx512)) GTEST_SKIP() << "needs AVX512";
  for (const WeightType type : {WeightType::kF32, WeightType::kBF16}) {
    for (const int64_t rows : {1, 2, 4, 7, 12, 13, 31}) {
      const LinearProblem problem = {.rows = rows, .n = 150, .k = 77, .with_bias = true};
      EXPECT_TRUE(SameBits(RunLinear(*GetKernelTable(Isa::kAvx512, type), problem),
                           RunLinear(*GetKernelTable(Isa::kAvx2, type), problem)))
          << rows;
    }
  }
}

LAMELLA_INSTANTIATE_TABLES(LinearTest);
INSTANTIATE_TEST_SUITE_P(Tables, PlainLinearTest,
                         ::testing::ValuesIn(testing::TablesByQuantized(false)),
                         testing::TableName);

}  // namespace
}  // namespace lamella::kernels
