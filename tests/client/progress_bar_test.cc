#include "client/cli/progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace lamella::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const absl::Time kBegin = absl::FromUnixSeconds(1'700'000'000);

TEST(ProgressBarTest, ABarSaysHowFarHowFastAndHowLong) {
  std::ostringstream out;
  ProgressBar bar(ProgressStyle::kBar, &out, kBegin);
  bar.Update("uploading", 5'000'000, 20'000'000, kBegin + absl::Seconds(1));
  EXPECT_THAT(out.str(), HasSubstr("[#######                       ]"));
  EXPECT_THAT(out.str(), HasSubstr("uploading  25% 5.0 MB of 20.0 MB, 5.0 MB/s, 3 s left"));
  EXPECT_EQ(out.str().front(), '\r');
  EXPECT_THAT(out.str(), Not(HasSubstr("\n")));
  bar.Close();
  EXPECT_EQ(out.str().back(), '\n');
}

TEST(ProgressBarTest, AFullBarHasNothingLeft) {
  std::ostringstream out;
  ProgressBar bar(ProgressStyle::kBar, &out, kBegin);
  bar.Update("validating", 2000, 2000, kBegin + absl::Seconds(2));
  EXPECT_THAT(out.str(), HasSubstr("[##############################] validating 100% 2.0 kB of "
                                   "2.0 kB, 1.0 kB/s"));
  EXPECT_THAT(out.str(), Not(HasSubstr("left")));
}

TEST(ProgressBarTest, ElsewhereThanOnATerminalItIsPlainLines) {
  std::ostringstream out;
  ProgressBar bar(ProgressStyle::kLines, &out, kBegin);
  bar.Update("uploading", 0, 100, kBegin);
  bar.Close();
  EXPECT_EQ(out.str(), "uploading   0% 0 B of 100 B\n");
}

TEST(ProgressBarTest, ItIsDrawnInIntervalsAndWhenThePhaseChanges) {
  std::ostringstream out;
  ProgressBar bar(ProgressStyle::kLines, &out, kBegin);
  for (int i = 0; i < 100; ++i) {
    bar.Update("uploading", static_cast<uint64_t>(i), 100, kBegin + absl::Milliseconds(10 * i));
  }
  bar.Update("validating", 100, 100, kBegin + absl::Seconds(1));
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST(ProgressBarTest, NoneWritesNothing) {
  std::ostringstream out;
  ProgressBar bar(ProgressStyle::kNone, &out, kBegin);
  bar.Update("uploading", 1, 2, kBegin);
  bar.Close();
  EXPECT_EQ(out.str(), "");
}

TEST(ProgressBarTest, AnEmptyUploadDividesByNothing) {
  std::ostringstream out;
  ProgressBar bar(ProgressStyle::kBar, &out, kBegin);
  bar.Update("uploading", 0, 0, kBegin);
  EXPECT_THAT(out.str(), HasSubstr("  0%"));
}

TEST(FormatBytesTest, UsesTheLargestUnitThatFits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "1.0 kB");
  EXPECT_EQ(FormatBytes(20'500'000), "20.5 MB");
  EXPECT_EQ(FormatBytes(3e9), "3.0 GB");
}

}  // namespace
}  // namespace lamella::cli
