#include "server/model/rope_tables.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/tiny_model.h"

namespace lamella::testing {
namespace {

TEST(RopeTablesTest, ValuesAreThoseOfTheAngle) {
  const ModelConfig config = TinyConfig("llama");
  auto tables = RopeTables::Create(config, 200);
  ASSERT_TRUE(tables.ok());
  tables->EnsurePositions(131);
  for (const int32_t position : {0, 1, 63, 64, 130}) {
    for (int32_t i = 0; i < config.head_dim / 2; ++i) {
      const double angle = position * std::pow(10000.0, -2.0 * i / config.head_dim);
      EXPECT_NEAR(tables->Cos(0, position)[i], std::cos(angle), 2e-5);
      EXPECT_NEAR(tables->Sin(0, position)[i], std::sin(angle), 2e-5);
    }
  }
}

TEST(RopeTablesTest, HowFarTheTableReachesChangesNoValue) {
  const ModelConfig config = TinyConfig("gemma3");
  auto stepwise = RopeTables::Create(config, 256);
  auto at_once = RopeTables::Create(config, 256);
  ASSERT_TRUE(stepwise.ok() && at_once.ok());
  for (int32_t positions = 1; positions <= 256; ++positions) stepwise->EnsurePositions(positions);
  at_once->EnsurePositions(256);
  for (int32_t p = 0; p < 256; ++p) {
    for (int32_t i = 0; i < config.head_dim / 2; ++i) {
      ASSERT_EQ(stepwise->Cos(0, p)[i], at_once->Cos(0, p)[i]);
      ASSERT_EQ(stepwise->Sin(2, p)[i], at_once->Sin(2, p)[i]);
    }
  }
}

TEST(RopeTablesTest, LayersWithOneConfigurationShareATable) {
  const ModelConfig config = TinyConfig("gemma3");  // the last layer has a base of its own
  auto tables = RopeTables::Create(config, 64);
  ASSERT_TRUE(tables.ok());
  EXPECT_EQ(tables->Cos(0, 3), tables->Cos(1, 3));
  EXPECT_NE(tables->Cos(0, 3), tables->Cos(2, 3));
}

}  // namespace
}  // namespace lamella::testing
