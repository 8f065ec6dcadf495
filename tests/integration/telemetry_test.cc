// What a server tells of itself: metrics as a scraper gets them, the log of requests, the usage
// ledger, traces. Over a tiny model and the real process.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "client/client.h"
#include "common/base/error.h"
#include "lamella/v1/generation.grpc.pb.h"
#include "nlohmann/json.hpp"
#include "tests/integration/server_process.h"
#include "tests/integration/tiny_model.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/tracing/fake_collector.h"

namespace lamella {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::Process;
using testing::ServerProcess;
using testing::TempDir;

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";

// What one call came to.
struct Called {
  grpc::Status status;
  std::string traceparent;  // of the trailers
};

class TelemetryTest : public ::testing::Test {
 protected:
  std::vector<std::string> Flags(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--model=" + model_, "--dtype=float32", "--threads=1",
                                      "--kv-cache-bytes=16MiB"};
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  }

  static Called Generate(ServerProcess* server, const std::string& adapter_id,
                         const std::string& traceparent = "") {
    const auto stub = v1::GenerationService::NewStub(
        grpc::CreateChannel(server->address(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    if (!traceparent.empty()) context.AddMetadata("traceparent", traceparent);
    v1::GenerateRequest request;
    request.set_text("ab cab");
    request.set_request_id("r-1");
    request.set_adapter_id(adapter_id);
    request.mutable_stop()->set_max_tokens(3);
    request.mutable_stop()->set_ignore_eos(true);
    const auto reader = stub->Generate(&context, request);
    v1::GenerateResponse event;
    while (reader->Read(&event)) continue;
    Called called{reader->Finish(), ""};
    const auto& trailers = context.GetServerTrailingMetadata();
    if (const auto found = trailers.find("traceparent"); found != trailers.end()) {
      called.traceparent = {found->second.data(), found->second.size()};
    }
    return called;
  }

  // The first JSON object among the lines that has this message.
  static nlohmann::json LineWith(const std::string& output, const std::string& message) {
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (json.is_object() && json.value("message", "") == message) return json;
    }
    ADD_FAILURE() << "no line says " << message << " in\n" << output;
    return {};
  }

  static bool HavePromtool() { return std::system("promtool --version >/dev/null 2>&1") == 0; }

  TempDir dir_;
  std::string model_ = dir_.Write("tiny.gguf", testing::ServedModel().Build());
};

TEST_F(TelemetryTest, PromtoolFindsNothingToSayAboutOurNames) {
  if (!HavePromtool()) GTEST_SKIP() << "promtool is missing: scripts/setup.sh installs it";
  ServerProcess server(Flags({"--novllm-metrics"}));
  ASSERT_TRUE(server.AwaitReady());
  EXPECT_TRUE(Generate(&server, "").status.ok());
  EXPECT_FALSE(Generate(&server, "none").status.ok());
  const std::string path = dir_.Write("metrics.txt", server.Metrics());
  Process promtool({"/bin/sh", "-c", "promtool check metrics < " + path});
  EXPECT_EQ(promtool.Wait(), 0);
  EXPECT_EQ(promtool.output(), "");
}

TEST_F(TelemetryTest, PromtoolMindsOnlyWhatVllmsNamesAre) {
  if (!HavePromtool()) GTEST_SKIP() << "promtool is missing: scripts/setup.sh installs it";
  ServerProcess server(Flags());
  ASSERT_TRUE(server.AwaitReady());
  const std::string path = dir_.Write("metrics.txt", server.Metrics());
  Process promtool({"/bin/sh", "-c", "promtool check metrics < " + path});
  promtool.Wait();
  std::istringstream complaints(promtool.output());
  int colons = 0;
  for (std::string line; std::getline(complaints, line);) {
    EXPECT_THAT(line, HasSubstr("vllm:"));
    colons += line.find("should not contain ':'") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(colons, 10);
}

TEST_F(TelemetryTest, AnIdleServerHasNoAdaptersAtWork) {
  ServerProcess server(Flags());
  ASSERT_TRUE(server.AwaitReady());
  EXPECT_TRUE(Generate(&server, "").status.ok());
  EXPECT_THAT(server.Metrics(),
              HasSubstr("vllm:lora_requests_info{model_name=\"tiny\",max_lora=\"64\",running_lora_"
                        "adapters=\"\",waiting_lora_adapters=\"\"}"));
}

TEST_F(TelemetryTest, EveryRequestIsOneLineOfTheLogWithoutItsPrompt) {
  ServerProcess server(Flags());
  ASSERT_TRUE(server.AwaitReady());
  const Called ended = Generate(&server, "", std::string("00-") + kTrace + "-00f067aa0ba902b7-01");
  EXPECT_TRUE(ended.status.ok()) << ended.status.error_message();
  EXPECT_THAT(ended.traceparent, ::testing::StartsWith(std::string("00-") + kTrace + "-"));
  EXPECT_THAT(ended.traceparent, Not(HasSubstr("00f067aa0ba902b7")));
  ASSERT_TRUE(server.process().AwaitOutput("request ended"));
  EXPECT_FALSE(Generate(&server, "none").status.ok());
  ASSERT_TRUE(server.process().AwaitOutput("request refused"));
  server.process().Signal(SIGTERM);
  EXPECT_EQ(server.process().Wait(), 0);
  const std::string output = server.process().output();
  EXPECT_THAT(output, HasSubstr(std::string("trace_id=") + kTrace));
  EXPECT_THAT(output, HasSubstr("tenant=default adapter=none reason=adapter_not_found"));
  EXPECT_THAT(output, Not(HasSubstr("cab")));
}

TEST_F(TelemetryTest, LinesOfTheLogAreJsonIfWanted) {
  Process server({LAMELLA_SERVER_BINARY, "--listen=127.0.0.1:0", "--metrics-listen=",
                  "--model=" + model_, "--dtype=float32", "--threads=1", "--log-format=json"});
  ASSERT_TRUE(server.AwaitOutput("\"message\":\"ready\""));
  ASSERT_TRUE(server.AwaitOutput("}\n"));
  const std::string address = LineWith(server.output(), "ready").value("address", "");
  auto client = *client::Client::Connect({.server = address});
  ASSERT_TRUE(client->Generate({.prompt = "ab", .max_tokens = 3, .ignore_eos = true}).ok());
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  const nlohmann::json line = LineWith(server.output(), "request ended");
  EXPECT_EQ(line.value("tenant", ""), "default");
  EXPECT_EQ(line.value("reason", ""), "length");
  EXPECT_EQ(line.value("generated_tokens", 0), 3);
  for (const char* stage :
       {"queue_seconds", "prefill_seconds", "decode_seconds", "total_seconds"}) {
    ASSERT_TRUE(line.contains(stage) && line[stage].is_number()) << stage << line;
    EXPECT_GE(line[stage].get<double>(), 0) << stage;
  }
}

TEST_F(TelemetryTest, TheUsageLedgerHasWhatWasAccepted) {
  const std::string path = dir_.path() + "/usage.jsonl";
  ServerProcess server(Flags({"--usage-ledger=" + path, "--norequest-log"}));
  ASSERT_TRUE(server.AwaitReady());
  EXPECT_TRUE(Generate(&server, "").status.ok());
  EXPECT_FALSE(Generate(&server, "none").status.ok());
  server.process().Signal(SIGTERM);
  EXPECT_EQ(server.process().Wait(), 0);
  EXPECT_THAT(server.process().output(), Not(HasSubstr("request ended")));
  std::ifstream in(path);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["request_id"], "r-1");
  EXPECT_EQ(lines[0]["tenant"], "default");
  EXPECT_EQ(lines[0]["generated_tokens"], 3);
}

TEST_F(TelemetryTest, SpansOfRequestsReachACollector) {
  FakeCollector collector;
  ServerProcess server(Flags({"--otlp-endpoint=" + collector.address()}));
  ASSERT_TRUE(server.AwaitReady());
  EXPECT_TRUE(
      Generate(&server, "", std::string("00-") + kTrace + "-00f067aa0ba902b7-01").status.ok());
  const Called begun = Generate(&server, "");
  EXPECT_TRUE(begun.status.ok());
  EXPECT_TRUE(
      Generate(&server, "", std::string("00-") + kTrace + "-00f067aa0ba902b7-00").status.ok());
  server.process().Signal(SIGTERM);
  EXPECT_EQ(server.process().Wait(), 0);
  std::multiset<std::string> names, traces;
  for (const auto& request : collector.requests()) {
    for (const otlp::Span& span : request.resource_spans(0).scope_spans(0).spans()) {
      names.insert(span.name());
      traces.insert(absl::BytesToHexString(span.trace_id()));
    }
  }
  EXPECT_EQ(names, (std::multiset<std::string>{"decode", "decode", "prefill", "prefill", "queue",
                                               "queue", "lamella.v1.GenerationService/Generate",
                                               "lamella.v1.GenerationService/Generate"}));
  EXPECT_EQ(traces.count(kTrace), 4U);
  EXPECT_EQ(traces.count(begun.traceparent.substr(3, 32)), 4U);
}

TEST_F(TelemetryTest, AUsageLedgerThatCannotBeOpenedStopsTheStart) {
  ServerProcess server(Flags({"--usage-ledger=" + dir_.path() + "/none/usage.jsonl"}));
  EXPECT_EQ(server.process().Wait(), 1);
  EXPECT_THAT(server.process().output(), HasSubstr("reason=INVALID_FLAG field=usage_ledger"));
  EXPECT_THAT(server.process().output(), Not(HasSubstr(dir_.path())));
}

}  // namespace
}  // namespace lamella
