#include "adapters_store/crash_guard.h"

#include <filesystem>
#include <fstream>

#include "common/base/reasons.h"
#include "gtest/gtest.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::TempDir;

const std::string kBad(64, 'b');
const std::string kOther(64, '0');

class CrashGuardTest : public ::testing::Test {
 protected:
  std::unique_ptr<CrashGuard> Open() {
    auto guard = CrashGuard::Open(dir_.path(), 3);
    EXPECT_TRUE(testing::IsOk(guard));
    return *std::move(guard);
  }
  // A run that loads these, in this order, and dies. Whom it left out.
  std::optional<CrashGuard::Suspect> Crash(const std::vector<std::string>& loads) {
    const auto guard = Open();
    for (const std::string& version : loads) guard->NoteLoad("t", version);
    return guard->suspect();
  }
  TempDir dir_;
};

TEST_F(CrashGuardTest, TheLastLoadBeforeEachOfThreeCrashesIsTheSuspect) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Crash({kOther, kBad}), std::nullopt);
  const auto suspect = Open()->suspect();
  ASSERT_TRUE(suspect.has_value());
  EXPECT_EQ(*suspect, (CrashGuard::Suspect{"t", kBad}));
}

TEST_F(CrashGuardTest, TheRecordStartsAnewWithASuspect) {
  for (int i = 0; i < 3; ++i) Crash({kBad});
  EXPECT_TRUE(Crash({kOther}).has_value());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Crash({kOther}), std::nullopt);
  EXPECT_EQ(Crash({}), (CrashGuard::Suspect{"t", kOther}));
}

TEST_F(CrashGuardTest, AStopEndsTheRow) {
  for (int i = 0; i < 2; ++i) Crash({kBad});
  Open()->NoteStop();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Crash({kBad}), std::nullopt);
}

TEST_F(CrashGuardTest, OtherVersionsOrNoneAtAllEndTheRow) {
  for (const std::vector<std::string>& between :
       {std::vector<std::string>{kBad, kOther}, std::vector<std::string>{}}) {
    Crash({kBad});
    Crash({kBad});
    Crash(between);
    EXPECT_EQ(Crash({kBad}), std::nullopt);
    Open()->NoteStop();
  }
}

TEST_F(CrashGuardTest, ALineThatWasCutNamesNobody) {
  Crash({kBad});
  Crash({kBad});
  Crash({kBad});
  std::ofstream(dir_.path() + "/runs", std::ios::app) << "load t 0000";
  EXPECT_EQ(Open()->suspect(), (CrashGuard::Suspect{"t", kBad}));
}

TEST_F(CrashGuardTest, ARecordOfNonsenseCountsAsNone) {
  dir_.Write("runs", std::string("\0crash\nload ../.. x\nstart\nfoo\n", 31));
  EXPECT_EQ(Crash({kBad}), std::nullopt);
}

TEST_F(CrashGuardTest, TheRecordDoesNotGrowOverRuns) {
  for (int i = 0; i < 50; ++i) Crash({i % 2 == 0 ? kBad : kOther});
  EXPECT_LT(std::filesystem::file_size(dir_.path() + "/runs"), 500U);
}

TEST_F(CrashGuardTest, AFolderThatIsNotThereIsAnError) {
  const auto guard = CrashGuard::Open(dir_.path() + "/none", 3);
  EXPECT_TRUE(IsError(guard, absl::StatusCode::kUnavailable, reasons::kStoreUnwritable, "",
                      "record of runs"));
}

}  // namespace
}  // namespace lamella
