// What a quantized base's weights are, on every table that has one. How linear layers compute with
// them is linear_test.cc's and kernel_law_test.cc's to say.
#include <algorithm>

#include "server/kernels/bf16.h"
#include "tests/kernels/kernel_testing.h"

namespace lamella::kernels {
namespace {

using testing::kNan;
using testing::NanBytes;
using testing::RandomFloats;
using testing::SameBits;

class QuantizedTest : public testing::TableTest {
 protected:
  bool is_int8() const { return table().quantization == Quantization::kInt8; }
  int64_t group() const { return is_int8() ? 64 : 32; }

  // w float [n][k], packed and unpacked again.
  std::vector<float> RoundTrip(const std::vector<float>& w, int64_t n, int64_t k) const {
    std::vector<std::byte> packed = NanBytes(table().packed_linear_bytes(n, k));
    table().pack_linear(w.data(), 0, n, n, k, packed.data());
    std::vector<float> out(w.size());
    for (int64_t row = 0; row < n; ++row) {
      table().unpack_row(packed.data(), n, k, row, out.data() + row * k);
    }
    return out;
  }
};

// A weight is off by half a step, and by what rounding the step to bfloat16 takes from the largest.
TEST_P(QuantizedTest, AWeightIsOffByHalfAStepOfItsGroup) {
  constexpr int64_t kN = 35;
  constexpr int64_t kK = 200;
  std::vector<float> w = RandomFloats(kN * kK, 1);
  for (int64_t i = 0; i < kN * kK; ++i) w[i] *= i % 7 == 0 ? 5 : 1;  // groups differ in size
  const std::vector<float> out = RoundTrip(w, kN, kK);
  const float steps = is_int8() ? 127 : 8;
  for (int64_t row = 0; row < kN; ++row) {
    for (int64_t begin = 0; begin < kK; begin += group()) {
      const int64_t end = std::min(kK, begin + group());
      float largest = 0;
      for (int64_t i = begin; i < end; ++i) {
        largest = std::max(largest, std::fabs(w[row * kK + i]));
      }
      // Of int4's 16 values one more is below zero than above: what lies at that far end is a whole
      // step off.
      const float most = largest * ((is_int8() ? 0.5F : 1.0F) / steps + 0x1p-8F);
      for (int64_t i = begin; i < end; ++i) {
        ASSERT_NEAR(out[row * kK + i], w[row * kK + i], most) << row << " " << i;
      }
    }
  }
}

TEST_P(QuantizedTest, WholeStepsComeBackAsTheyWere) {
  const float step = 0.25F;
  const int32_t lowest = is_int8() ? -127 : -8;
  const int32_t highest = is_int8() ? 127 : 7;
  const int64_t k = 3 * group() + 5;  // the last group is short
  std::vector<float> w(static_cast<size_t>(3 * k));
  for (size_t i = 0; i < w.size(); ++i) {
    const auto place = static_cast<int64_t>(i) % k % group();
    const auto value = lowest + static_cast<int32_t>(i * 37) % (highest - lowest + 1);
    w[i] = step * static_cast<float>(place == 0 ? lowest : value);
  }
  EXPECT_TRUE(SameBits(RoundTrip(w, 3, k), w));
}

TEST_P(QuantizedTest, ZeroStaysZeroAndWhatIsNotFiniteShows) {
  const int64_t k = 2 * group();
  std::vector<float> w(static_cast<size_t>(3 * k), 0.0F);
  w[static_cast<size_t>(k + 1)] = kNan;  // row 1, group 0
  w[static_cast<size_t>(2 * k + group())] = std::numeric_limits<float>::infinity();  // row 2, 1
  const std::vector<float> out = RoundTrip(w, 3, k);
  for (int64_t i = 0; i < 3 * k; ++i) {
    const bool is_bad = (i / k == 1 && i % k < group()) || (i / k == 2 && i % k >= group());
    if (is_bad) {
      EXPECT_TRUE(std::isnan(out[i])) << i;
    } else {
      EXPECT_EQ(out[i], 0.0F) << i;
    }
  }
}

// Every ISA multiplies with the same weights.
TEST_P(QuantizedTest, WeightsAreTheReferencesBitForBit) {
  constexpr int64_t kN = 40;
  constexpr int64_t kK = 131;
  const std::vector<float> w = RandomFloats(kN * kK, 2);
  std::vector<std::byte> packed = NanBytes(oracle().packed_linear_bytes(kN, kK));
  oracle().pack_linear(w.data(), 0, kN, kN, kK, packed.data());
  std::vector<float> expected(w.size());
  for (int64_t row = 0; row < kN; ++row) {
    oracle().unpack_row(packed.data(), kN, kK, row, expected.data() + row * kK);
  }
  EXPECT_TRUE(SameBits(RoundTrip(w, kN, kK), expected));
}

TEST_P(QuantizedTest, BytesAreOfTheFormat) {
  // Two feature tiles, two groups: values, and a bfloat16 scale for each group and feature.
  const size_t values = is_int8() ? 64 : 16;
  EXPECT_EQ(table().packed_linear_bytes(17, group() + 1), 2 * 2 * 16 * (values + 2));
}

// Products and their sums are exact where weights and activations are whole steps.
TEST_P(QuantizedTest, KnownAnswer) {
  const float lowest = is_int8() ? -127 : -8;
  EXPECT_EQ(testing::RunOneOutput(
                table(), {.w = {lowest, 3}, .x = {32767, -2}, .bias = 1000, .b = 4, .v = 100}),
            lowest * 32767 - 6 + 1000 + 100);
}

// Integers are exact and floats follow one order: every ISA but the reference, which keeps
// activations, gives the same bits.
TEST(QuantizedIsaTest, EveryIsaGivesTheBitsOfAvx2) {
  if (!IsaAvailable(Isa::kAvx2)) GTEST_SKIP() << "needs AVX2";
  for (const testing::TableId& id : testing::TablesByQuantized(true)) {
    if (id.table->isa == Isa::kReference) continue;
    const KernelTable& avx2 =
        *GetKernelTable(Isa::kAvx2, id.table->weight_type, id.table->quantization);
    for (const int64_t rows : {1, 2, 3, 5, 9, 12, 13, 16, 17, 40}) {
      for (const int64_t k : {64, 77, 200}) {
        const testing::LinearProblem problem = {.rows = rows, .n = 150, .k = k, .with_bias = true};
        ASSERT_TRUE(SameBits(RunLinear(*id.table, problem), RunLinear(avx2, problem)))
            << id.name << " " << rows << " " << k;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, QuantizedTest,
                         ::testing::ValuesIn(testing::TablesByQuantized(true)), testing::TableName);

}  // namespace
}  // namespace lamella::kernels
