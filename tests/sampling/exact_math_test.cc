#include "server/sampling/exact_math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace lamella::sampling {
namespace {

TEST(ExactMathTest, ExponentialIsWithinTwoUlp) {
  for (int i = 0; i <= 8700; ++i) {
    const float x = -0.01f * static_cast<float>(i);
    const double exact = std::exp(static_cast<double>(x));
    EXPECT_NEAR(ExpOfNonPositive(x), exact, exact * 2.4e-7) << x;
  }
  EXPECT_EQ(ExpOfNonPositive(0.0f), 1.0f);
  EXPECT_EQ(ExpOfNonPositive(-88.0f), 0.0f);
  EXPECT_EQ(ExpOfNonPositive(-INFINITY), 0.0f);
}

TEST(ExactMathTest, LogarithmMatchesTheLibrary) {
  EXPECT_EQ(LogOfOneOrMore(1.0), 0.0);
  for (double x = 1.0; x < 1e6; x *= 1.0371) {
    EXPECT_NEAR(LogOfOneOrMore(x), std::log(x), 4e-15 * (1 + std::log(x))) << x;
  }
  for (const double x : {1.4999999, 1.5, 1.5000001, 2.0, 3.0, 262144.0}) {
    EXPECT_NEAR(LogOfOneOrMore(x), std::log(x), 4e-15) << x;
  }
}

// The bits themselves, so that another machine or compiler that computes otherwise is noticed.
TEST(ExactMathTest, BitsAreTheSameEverywhere) {
  uint64_t digest = 0;
  for (int i = 0; i < 5000; ++i) {
    const float power = ExpOfNonPositive(-0.017f * static_cast<float>(i));
    const double log = LogOfOneOrMore(1.0 + 0.37 * i);
    digest = (digest ^ std::bit_cast<uint32_t>(power)) * 0x100000001B3u;
    digest = (digest ^ std::bit_cast<uint64_t>(log)) * 0x100000001B3u;
  }
  EXPECT_EQ(digest, 2824693244562721650u);
}

}  // namespace
}  // namespace lamella::sampling
