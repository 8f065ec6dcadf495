#include "tests/bench/engine_case.h"

#include <gtest/gtest.h>

#include "tests/testing/status.h"

namespace lamella::bench {
namespace {

using Kind = EngineCase::Kind;

TEST(EngineCaseTest, NamesWhoIsInAStep) {
  const EngineCase mixed = *ParseEngineCase("32x8@8/64#100");
  EXPECT_EQ(mixed.rows, 32);
  EXPECT_EQ(mixed.adapters, 8);
  EXPECT_EQ(mixed.resident, 100);
  EXPECT_EQ(mixed.RankOf(2), 8);
  EXPECT_EQ(mixed.RankOf(3), 64);
  EXPECT_EQ(ParseEngineCase("32x8")->resident, 8);
  EXPECT_EQ(ParseEngineCase("32x8")->RankOf(7), 16);
  EXPECT_EQ(ParseEngineCase("sequential:4x2")->kind, Kind::kSequential);
  EXPECT_EQ(ParseEngineCase("prefill:512x1")->kind, Kind::kPrefill);
  EXPECT_TRUE(ParseEngineCase("8xbase")->base());
}

TEST(EngineCaseTest, DrawsByZipfsLawOverAThousandUnlessSaid) {
  EXPECT_EQ(ParseEngineCase("32xzipf")->resident, 1000);
  EXPECT_EQ(ParseEngineCase("32xzipf")->zipf, 1.0);
  EXPECT_EQ(ParseEngineCase("32xzipf1.2@8#50")->resident, 50);
  EXPECT_EQ(ParseEngineCase("32xzipf1.2@8#50")->zipf, 1.2);
}

TEST(EngineCaseTest, IsSetBesideAsManyRowsOfTheBase) {
  EXPECT_EQ(BaseOf(*ParseEngineCase("32x8@64")).name, "32xbase");
  EXPECT_EQ(BaseOf(*ParseEngineCase("sequential:32x8")).name, "32xbase");
  EXPECT_EQ(BaseOf(*ParseEngineCase("prefill:512x1")).name, "prefill:512xbase");
}

TEST(EngineCaseTest, RefusesWhatCannotBeAStep) {
  for (const char* text : {"", "32", "0xbase", "32x33", "x8", "32x8@0", "32x8@8/", "32x8#4",
                           "32xzap", "32xzipfast", "prefill:512x2", "99999xbase"}) {
    EXPECT_EQ(ParseEngineCase(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace lamella::bench
