// lamella-load against a server over loopback: what it sent adds up, and is what its seed says.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/bench/load/workload.h"
#include "tests/integration/server_process.h"
#include "tests/integration/tiny_model.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella::bench {
namespace {

using nlohmann::json;

class LamellaLoadTest : public ::testing::Test {
 protected:
  static constexpr int32_t kAdapters = 5;

  void SetUp() override {
    ASSERT_TRUE(server_.AwaitReady());
    const std::string made =
        Load({"make-adapters", "--model=" + model_, "--adapters=5", "--ranks=2,4"}, /*status=*/0);
    ASSERT_EQ(made, "");
  }

  // Its output.
  std::string Load(std::vector<std::string> arguments, int status) {
    arguments.insert(arguments.begin(), LAMELLA_LOAD_BINARY);
    arguments.push_back("--server=" + server_.address());
    arguments.push_back("--admin=" + server_.admin_address());
    testing::Process process(arguments);
    EXPECT_EQ(process.Wait(), status) << process.output();
    return process.output();
  }

  // A run of half a second over a workload of short requests.
  json Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "run");
    for (const char* more : {"--warmup=0", "--duration=500ms", "--json", "--seed=9", "--adapters=5",
                             "--prompt_tokens=3:9", "--answer_tokens=2:6"}) {
      arguments.emplace_back(more);
    }
    arguments.push_back("--records=" + records_path_);
    return json::parse(Load(std::move(arguments), 0), nullptr, /*allow_exceptions=*/false);
  }

  std::vector<json> Records() const {
    std::vector<json> records;
    std::ifstream file(records_path_);
    for (std::string line; std::getline(file, line);) records.push_back(json::parse(line));
    return records;
  }

  // What was sent is what this seed gives, and every finished answer has its tokens.
  void ExpectRequestsOfSeedNine(const WorkloadOptions& options) const {
    Workload workload(options);
    for (const json& record : Records()) {
      const PlannedRequest plan = workload.Next();
      EXPECT_EQ(record["adapter"],
                plan.adapter == kBaseModel ? "" : absl::StrCat("load-", plan.adapter));
      if (record["outcome"] != "finished") continue;
      EXPECT_EQ(record["told_prompt_tokens"], plan.prompt_tokens);
      EXPECT_EQ(record["tokens"], plan.answer_tokens);
    }
  }

  static WorkloadOptions SeedNine() {
    return {.adapters = kAdapters, .prompt_tokens = {3, 9}, .answer_tokens = {2, 6}, .seed = 9};
  }

  testing::TempDir dir_;
  const std::string model_ = dir_.Write("tiny.gguf", testing::ServedModel().Build());
  const std::string records_path_ = dir_.path() + "/records.jsonl";
  testing::ServerProcess server_{{"--model=" + model_, "--dtype=float32", "--threads=1",
                                  "--kv-cache-bytes=64MiB", "--max-queued-requests=4",
                                  "--max-sequences=2",
                                  "--adapters-store=" + dir_.path() + "/store"}};
};

TEST_F(LamellaLoadTest, OpenLoopCountsAddUpAndRequestsFollowTheSeed) {
  const json report = Run({"--rate=60", "--cv=2", "--base_share=0.3"});
  ASSERT_TRUE(report.is_object());
  EXPECT_GT(report["sent"], 0);
  EXPECT_EQ(report["sent"], report["finished"].get<int>() + report["refused"].get<int>() +
                                report["failed"].get<int>());
  EXPECT_GT(report["finished"], 0);
  EXPECT_EQ(report["failed"], 0);
  EXPECT_EQ(report["wrong_length"], 0);
  EXPECT_EQ(report["model"], "tiny");
  const std::vector<json> records = Records();
  EXPECT_EQ(records.size(), report["sent"].get<size_t>());
  WorkloadOptions options = SeedNine();
  options.base_share = 0.3;
  ExpectRequestsOfSeedNine(options);
}

TEST_F(LamellaLoadTest, ClassesFollowWhatTheServerLoaded) {
  Run({"--concurrency=1"});
  std::set<std::string> seen;
  for (const json& record : Records()) {
    // One at a time, over a cache that holds all: cold the first time, resident from then on.
    const bool first = seen.insert(record["adapter"]).second;
    EXPECT_EQ(record["class"], first ? "cold" : "resident");
  }
  EXPECT_FALSE(seen.empty());
}

TEST_F(LamellaLoadTest, ClosedLoopKeepsSoManyInFlight) {
  const json report = Run({"--concurrency=3"});
  ASSERT_TRUE(report.is_object());
  EXPECT_EQ(report["sent"], report["finished"]);
  ExpectRequestsOfSeedNine(SeedNine());
  // At the moment of each sending fewer than three were open.
  const std::vector<json> records = Records();
  for (const json& record : records) {
    int open = 0;
    for (const json& other : records) {
      if (other["number"] < record["number"] && other["ended_ms"] > record["sent_ms"]) ++open;
    }
    EXPECT_LT(open, 3);
  }
}

TEST_F(LamellaLoadTest, RefusalsAreCountedByReason) {
  const json report = Run({"--concurrency=40"});
  ASSERT_TRUE(report.is_object());
  EXPECT_GT(report["refused"], 0);
  EXPECT_EQ(report["refused_by_reason"]["QUEUE_FULL"], report["refused"]);
  EXPECT_EQ(report["sent"], report["finished"].get<int>() + report["refused"].get<int>());
  EXPECT_EQ(report["refusal_ms"]["count"], report["refused"]);
}

TEST_F(LamellaLoadTest, InterferenceLoadsOnlyWhatIsNotInMemory) {
  const std::vector<std::string> arguments = {
      "interference",         "--adapters=5",           "--streams=2", "--pairs=1", "--phase=300ms",
      "--loads_per_second=4", "--stream_tokens=100000", "--json"};
  const json report = json::parse(Load(arguments, 0), nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(report.is_object());
  EXPECT_EQ(report["loads"], 2);
  EXPECT_GT(report["quiet_p50_ms"], 0);
  EXPECT_GT(report["loading_p99_ms"], 0);
  // The cache holds all, so the first of them is in memory from then on.
  EXPECT_NE(Load(arguments, 1).find("was in memory already"), std::string::npos);
}

TEST_F(LamellaLoadTest, SaysWhatIsWrongWithACommandLine) {
  EXPECT_NE(Load({"run", "--rate=0"}, 1).find("must be positive"), std::string::npos);
  EXPECT_NE(Load({"run", "--popularity=none"}, 1).find("unknown"), std::string::npos);
  EXPECT_NE(Load({"fly"}, 2).find("usage"), std::string::npos);
}

}  // namespace
}  // namespace lamella::bench
