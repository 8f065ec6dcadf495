// Row-wise and element-wise operations of every table against the reference and known answers.
#include "tests/kernels/kernel_testing.h"

namespace lamella::kernels {
namespace {

using testing::Near;
using testing::RandomFloats;

class RowwiseTest : public testing::TableTest {};

std::vector<float> RunNorm(const KernelTable& table, const std::vector<float>& x, int64_t rows,
                           int64_t dim) {
  const std::vector<float> weight = RandomFloats(dim, 9);
  std::vector<float> y(rows * dim, testing::kNan);
  table.rms_norm(x.data(), dim, rows, dim, weight.data(), 1e-5f, y.data(), dim);
  return y;
}

TEST_P(RowwiseTest, RmsNormMatchesReference) {
  for (int64_t dim : {1, 7, 8, 9, 31, 32, 33, 64, 576, 2047, 2048}) {
    const std::vector<float> x = RandomFloats(3 * dim, 1);
    EXPECT_TRUE(Near(RunNorm(table(), x, 3, dim), RunNorm(oracle(), x, 3, dim), 5e-6f)) << dim;
  }
}

TEST_P(RowwiseTest, RmsNormMayWorkInPlace) {
  const std::vector<float> x = RandomFloats(2 * 100, 1);
  const std::vector<float> weight = RandomFloats(100, 9);
  std::vector<float> y = x;
  table().rms_norm(y.data(), 100, 2, 100, weight.data(), 1e-5f, y.data(), 100);
  EXPECT_TRUE(testing::SameBits(y, RunNorm(table(), x, 2, 100)));
}

TEST_P(RowwiseTest, RopeMatchesReferenceAndTurnsByQuarter) {
  for (int32_t head_dim : {2, 6, 16, 20, 64, 256}) {
    const int32_t half = head_dim / 2;
    const std::vector<float> x = RandomFloats(3 * 2 * head_dim, 2);
    std::vector<float> cos(3 * half);
    std::vector<float> sin(3 * half);
    for (size_t i = 0; i < cos.size(); ++i) {
      cos[i] = std::cos(static_cast<float>(i));
      sin[i] = std::sin(static_cast<float>(i));
    }
    std::vector<float> ours = x;
    std::vector<float> expected = x;
    table().rope(ours.data(), 2 * head_dim, 3, 2, head_dim, cos.data(), sin.data());
    oracle().rope(expected.data(), 2 * head_dim, 3, 2, head_dim, cos.data(), sin.data());
    EXPECT_TRUE(Near(ours, expected, 1e-6f)) << head_dim;
  }
  std::vector<float> x = {1, 2, 3, 4};
  const std::vector<float> zeros(2, 0.0f);
  const std::vector<float> ones(2, 1.0f);
  table().rope(x.data(), 4, 1, 1, 4, zeros.data(), ones.data());
  EXPECT_EQ(x, (std::vector<float>{-3, -4, 1, 2}));
}

TEST_P(RowwiseTest, ElementwiseMatchesReferenceAtEveryLength) {
  for (int64_t count = 0; count < 70; ++count) {
    const std::vector<float> a = RandomFloats(count, 3);
    const std::vector<float> b = RandomFloats(count, 4);
    for (auto op : {&KernelTable::silu_mul, &KernelTable::gelu_tanh_mul}) {
      std::vector<float> ours(count + 1, -7);
      std::vector<float> expected(count + 1, -7);
      (table().*op)(a.data(), b.data(), ours.data(), count);
      (oracle().*op)(a.data(), b.data(), expected.data(), count);
      EXPECT_TRUE(Near(ours, expected, 1e-6f)) << count;
      EXPECT_EQ(ours[count], -7);
    }
    std::vector<float> sum = a;
    table().add(sum.data(), b.data(), count);
    for (int64_t i = 0; i < count; ++i) EXPECT_EQ(sum[i], a[i] + b[i]);
  }
}

// Relative to the size of the answer, over the whole range of gates that models produce.
TEST_P(RowwiseTest, ActivationsKeepRelativeAccuracy) {
  for (float gate = -30; gate <= 30; gate += 0.037f) {
    const float up = 1;
    float value = 0;
    table().silu_mul(&gate, &up, &value, 1);
    const double x = gate;
    const double silu = x / (1 + std::exp(-x));
    EXPECT_NEAR(value, silu, std::abs(silu) * 1e-6 + 1e-12) << gate;
    table().gelu_tanh_mul(&gate, &up, &value, 1);
    const double u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    const double gelu = x / (1 + std::exp(-2 * u));
    // exp turns the rounding of its argument, |2u| * 2^-24, into a relative error.
    const double relative = 2e-7 * (3 + std::min(90.0, std::abs(2 * u)));
    EXPECT_NEAR(value, gelu, std::abs(gelu) * relative + 1e-12) << gate;
  }
}

TEST_P(RowwiseTest, ActivationsAreFiniteAtTheEdgesAndPassNan) {
  const std::vector<float> up(4, 1.0f);
  const std::vector<float> gate = {-1e4f, 1e4f, 0.0f, testing::kNan};
  for (auto op : {&KernelTable::silu_mul, &KernelTable::gelu_tanh_mul}) {
    std::vector<float> out(4);
    (table().*op)(gate.data(), up.data(), out.data(), 4);
    EXPECT_NEAR(out[0], 0, 1e-30);
    EXPECT_EQ(out[1], 1e4f);
    EXPECT_EQ(out[2], 0);
    EXPECT_TRUE(std::isnan(out[3]));
  }
}

LAMELLA_INSTANTIATE_TABLES(RowwiseTest);

}  // namespace
}  // namespace lamella::kernels
