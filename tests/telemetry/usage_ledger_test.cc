#include "server/telemetry/usage_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "common/base/error.h"
#include "tests/telemetry/record_fixture.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella {
namespace {

using testing::TempDir;

class UsageLedgerTest : public ::testing::Test {
 protected:
  std::unique_ptr<UsageLedger> Open(int64_t rotate_bytes = 1 << 20) {
    auto ledger = UsageLedger::Open({.path = path_, .rotate_bytes = rotate_bytes, .now = [] {
                                       return absl::FromUnixSeconds(1'000'000);
                                     }});
    EXPECT_TRUE(ledger.ok()) << ledger.status();
    return *std::move(ledger);
  }
  static std::string Read(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Contents of each file by its name.
  std::map<std::string, std::string> Files() {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      files[entry.path().filename()] = Read(entry.path());
    }
    return files;
  }

  TempDir dir_;
  const std::string path_ = dir_.path() + "/usage.jsonl";
};

TEST_F(UsageLedgerTest, OneRequestIsOneLine) {
  EXPECT_EQ(Open()->Write(std::vector{MakeRecord("r\"1")}), 0U);
  EXPECT_EQ(Read(path_),
            R"({"time":"1970-01-12T13:46:43.000000Z","request_id":"r\"1","tenant":"anna",)"
            R"("adapter":"poet","version":")" +
                std::string(64, 'a') +
                R"(","reason":"length","prompt_tokens":5,"cached_tokens":4,"generated_tokens":3,)"
                R"("queue_seconds":0.250000,"adapter_wait_seconds":0.125000,)"
                R"("prefill_seconds":0.250000,"decode_seconds":1.500000,)"
                R"("total_seconds":3.000000})"
                "\n");
  struct stat state = {};
  ASSERT_EQ(stat(path_.c_str(), &state), 0);
  EXPECT_EQ(state.st_mode & 0777, 0600U);
}

TEST_F(UsageLedgerTest, StagesThatWereNotReachedAreNullAndRefusalsAreLeftOut) {
  RequestRecord early = MakeRecord("early");
  early.first_token.reset();
  early.last_token.reset();
  RequestRecord refused = MakeRecord("refused");
  refused.accepted = false;
  EXPECT_EQ(Open()->Write(std::vector{early, refused}), 0U);
  const std::string text = Read(path_);
  EXPECT_THAT(text, ::testing::HasSubstr("\"prefill_seconds\":null,\"decode_seconds\":null"));
  EXPECT_THAT(text, ::testing::Not(::testing::HasSubstr("refused")));
}

TEST_F(UsageLedgerTest, AppendsAfterARestartAndClosesALineThatACrashCutOff) {
  Open()->Write(std::vector{MakeRecord("a")});
  std::ofstream(path_, std::ios::app) << "{\"time\":\"2";
  Open()->Write(std::vector{MakeRecord("b")});
  EXPECT_EQ(Read(path_),
            LedgerLine(MakeRecord("a")) + "{\"time\":\"2\n" + LedgerLine(MakeRecord("b")));
}

TEST_F(UsageLedgerTest, AFullFileIsRenamedAndNoneIsOverwritten) {
  const std::string line = LedgerLine(MakeRecord("1"));
  const auto ledger = Open(static_cast<int64_t>(2 * line.size()));
  for (const char* id : {"1", "2", "3", "4", "5"}) {
    EXPECT_EQ(ledger->Write(std::vector{MakeRecord(id)}), 0U);
  }
  const auto lines = [](const char* a, const char* b) {
    return LedgerLine(MakeRecord(a)) + LedgerLine(MakeRecord(b));
  };
  EXPECT_EQ(Files(), (std::map<std::string, std::string>{
                         {"usage.jsonl", LedgerLine(MakeRecord("5"))},
                         {"usage.jsonl.19700112T134640Z", lines("1", "2")},
                         {"usage.jsonl.19700112T134640Z-1", lines("3", "4")}}));
}

TEST_F(UsageLedgerTest, WhatDoesNotFitOnTheDiskIsTakenBackAndCounted) {
  const auto ledger = Open();
  EXPECT_EQ(ledger->Write(std::vector{MakeRecord("a")}), 0U);
  const std::string before = Read(path_);
  // Past this size write() fails as on a full disk, after a part of the bytes.
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old = {};
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit small = old;
  small.rlim_cur = before.size() + 10;
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_EQ(ledger->Write(std::vector{MakeRecord("b"), MakeRecord("c")}), 2U);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, ignored);
  EXPECT_EQ(Read(path_), before);
  EXPECT_EQ(ledger->Write(std::vector{MakeRecord("d")}), 0U);
  EXPECT_EQ(Read(path_), before + LedgerLine(MakeRecord("d")));
}

TEST_F(UsageLedgerTest, AFileThatCannotBeOpenedIsAnErrorWithoutItsPath) {
  const auto ledger = UsageLedger::Open({.path = dir_.path() + "/none/usage.jsonl"});
  EXPECT_EQ(ledger.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(ledger.status()), "INVALID_FLAG");
  EXPECT_EQ(ErrorField(ledger.status()), "usage_ledger");
  EXPECT_THAT(std::string(ledger.status().message()),
              ::testing::Not(::testing::HasSubstr(dir_.path())));
}

}  // namespace
}  // namespace lamella
