// The server as a process: how it starts, refuses to start, drains and ends. Over a tiny model that
// the test writes itself.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/conversion.h"
#include "common/base/error.h"
#include "lamella/v1/generation.grpc.pb.h"
#include "tests/integration/server_process.h"
#include "tests/integration/tiny_model.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella {
namespace {

using client::Client;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Process;
using testing::ServerProcess;
using testing::TempDir;

class ServerLifecycleTest : public ::testing::Test {
 protected:
  std::vector<std::string> Flags(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--model=" + model_, "--dtype=float32", "--threads=1",
                                      "--kv-cache-bytes=128MiB"};
    flags.insert(flags.end(), more.begin(), more.end());
    return flags;
  }

  // Ends with `status` before it is ready, says `reason` and `part`, and names no path.
  void ExpectCannotStart(const std::vector<std::string>& flags, int status,
                         const std::string& part) {
    ServerProcess server(flags);
    EXPECT_EQ(server.process().Wait(), status) << server.process().output();
    EXPECT_THAT(server.process().output(), HasSubstr(part));
    EXPECT_THAT(server.process().output(), Not(HasSubstr(" ready ")));
    EXPECT_THAT(server.process().output(), Not(HasSubstr(dir_.path())));
  }

  static std::unique_ptr<Client> Connect(ServerProcess* server) {
    return *Client::Connect({.server = server->address()});
  }

  TempDir dir_;
  std::string model_ = dir_.Write("tiny.gguf", testing::ServedModel().Build());
};

// A stream that is read by hand.
class OpenStream {
 public:
  OpenStream(ServerProcess* server, int32_t max_tokens)
      : stub_(v1::GenerationService::NewStub(
            grpc::CreateChannel(server->address(), grpc::InsecureChannelCredentials()))) {
    v1::GenerateRequest request;
    request.set_text("ab");
    request.mutable_stop()->set_max_tokens(max_tokens);
    request.mutable_stop()->set_ignore_eos(true);
    request.mutable_output()->set_token_ids(true);
    reader_ = stub_->Generate(&context_, request);
  }
  // True once text has arrived.
  bool ReadFirstTokens() {
    while (tokens == 0 && ReadOne()) continue;
    return tokens > 0;
  }
  grpc::Status ReadToEnd() {
    while (ReadOne()) continue;
    return reader_->Finish();
  }

  int tokens = 0;
  int finished = 0;

 private:
  bool ReadOne() {
    v1::GenerateResponse event;
    if (!reader_->Read(&event)) return false;
    tokens += event.delta().token_ids_size();
    finished += event.has_finished() ? 1 : 0;
    return true;
  }

  std::unique_ptr<v1::GenerationService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
};

TEST_F(ServerLifecycleTest, ServesThenDrainsWithStatusZero) {
  ServerProcess server(Flags());
  ASSERT_TRUE(server.AwaitReady());
  EXPECT_THAT(server.process().output(), HasSubstr("model=tiny "));
  EXPECT_THAT(server.process().output(), HasSubstr("adapters=0 refused=0"));
  auto client = Connect(&server);
  const auto info = client->GetModelInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->model, "tiny");
  EXPECT_EQ(info->dtype, "float32");
  const auto answer = client->Generate({.prompt = "ab cab", .max_tokens = 8, .ignore_eos = true});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->token_ids.size(), 8U);
  EXPECT_EQ(answer->finish_reason, "length");
  EXPECT_EQ(server.Metric("lamella_requests_accepted_total"), 1);
  EXPECT_EQ(server.Metric("lamella_generated_tokens_total"), 8);
  server.process().Signal(SIGTERM);
  EXPECT_EQ(server.process().Wait(), 0);
  EXPECT_THAT(server.process().output(), HasSubstr("drained"));
}

TEST_F(ServerLifecycleTest, TextAndItsTokensAnswerTheSame) {
  ServerProcess server(Flags());
  ASSERT_TRUE(server.AwaitReady());
  auto client = Connect(&server);
  const auto ids = client->Tokenize("ab cab", false);
  ASSERT_TRUE(ids.ok()) << ids.status();
  const auto by_text = client->Generate({.prompt = "ab cab", .max_tokens = 12});
  const auto by_ids = client->Generate({.prompt_token_ids = *ids, .max_tokens = 12});
  ASSERT_TRUE(by_text.ok() && by_ids.ok()) << by_text.status() << by_ids.status();
  EXPECT_EQ(by_text->token_ids, by_ids->token_ids);
  EXPECT_EQ(*client->Detokenize(*ids), "ab cab");
}

TEST_F(ServerLifecycleTest, BadFlagsEndWithStatusTwo) {
  ExpectCannotStart({"--model=m", "--bogus"}, 2, "--bogus");
  ExpectCannotStart({"--model=m", "--threads=-1"}, 2, "--threads");
  ExpectCannotStart({"--model=m", "--listen=0.0.0.0:0"}, 2, "--insecure-allow-remote");
}

TEST_F(ServerLifecycleTest, MissingWeightsEndWithStatusOne) {
  ExpectCannotStart({"--model=" + dir_.path() + "/none.gguf"}, 1,
                    "reason=MISSING_FILE field=none.gguf");
}

TEST_F(ServerLifecycleTest, TruncatedWeightsEndWithStatusOne) {
  const std::string whole = testing::ServedModel().Build();
  for (const size_t size : {whole.size() - 100, whole.size() / 2, size_t{100}}) {
    const std::string path = dir_.Write("cut.gguf", whole.substr(0, size));
    ExpectCannotStart({"--model=" + path}, 1, "reason=TRUNCATED field=");
  }
}

TEST_F(ServerLifecycleTest, UnknownArchitecturesEndWithStatusOne) {
  auto writer = testing::ServedModel();
  writer.Drop("general.architecture").String("general.architecture", "mystery");
  ExpectCannotStart({"--model=" + dir_.Write("mystery.gguf", writer.Build())}, 1,
                    "reason=UNKNOWN_ARCHITECTURE field=general.architecture");
}

TEST_F(ServerLifecycleTest, AMissingAdaptersFolderEndsWithStatusOne) {
  ExpectCannotStart(Flags({"--adapters-dir=" + dir_.path() + "/none"}), 1,
                    "reason=MISSING_FILE field=adapters_dir");
}

TEST_F(ServerLifecycleTest, PortsInUseEndWithStatusOne) {
  ServerProcess server(Flags());
  ASSERT_TRUE(server.AwaitReady());
  // The last of two equal flags counts.
  ExpectCannotStart(Flags({"--listen=" + server.address()}), 1, "reason=PORT_IN_USE field=listen");
  ExpectCannotStart(Flags({"--metrics-listen=" + server.address()}), 1,
                    "reason=PORT_IN_USE field=metrics_listen");
  EXPECT_TRUE(Connect(&server)->GetModelInfo().ok());
}

TEST_F(ServerLifecycleTest, ADrainLetsAStreamFinish) {
  ServerProcess server(Flags({"--drain-grace=120s"}));
  ASSERT_TRUE(server.AwaitReady());
  constexpr int kTokens = 4000;
  OpenStream stream(&server, kTokens);
  ASSERT_TRUE(stream.ReadFirstTokens());
  server.process().Signal(SIGTERM);
  ASSERT_TRUE(server.process().AwaitOutput("draining"));
  const auto refused = Connect(&server)->Generate({.prompt = "ab"});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(refused.status()), "DRAINING") << refused.status();
  EXPECT_TRUE(ErrorRetryAfter(refused.status()).has_value());
  const grpc::Status status = stream.ReadToEnd();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(stream.tokens, kTokens);
  EXPECT_EQ(stream.finished, 1);
  EXPECT_EQ(server.process().Wait(), 0) << server.process().output();
}

TEST_F(ServerLifecycleTest, ADrainEndsWhatIsLeftAfterItsGrace) {
  ServerProcess server(Flags({"--drain-grace=0s"}));
  ASSERT_TRUE(server.AwaitReady());
  OpenStream stream(&server, 200'000);
  ASSERT_TRUE(stream.ReadFirstTokens());
  server.process().Signal(SIGTERM);
  const grpc::Status status = stream.ReadToEnd();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_EQ(ErrorReason(client::FromGrpc(status)), "DRAINING");
  EXPECT_TRUE(ErrorRetryAfter(client::FromGrpc(status)).has_value());
  EXPECT_EQ(stream.finished, 0);
  EXPECT_EQ(server.process().Wait(), 0) << server.process().output();
}

TEST_F(ServerLifecycleTest, ARequestWithoutADeadlineEndsAtTheServersLimit) {
  ServerProcess server(Flags({"--max-request-time=500ms"}));
  ASSERT_TRUE(server.AwaitReady());
  OpenStream stream(&server, 200'000);
  const grpc::Status status = stream.ReadToEnd();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << status.error_message();
  EXPECT_EQ(ErrorReason(client::FromGrpc(status)), "REQUEST_TIME_LIMIT");
  EXPECT_THAT(status.error_message(), HasSubstr("--max-request-time"));
  EXPECT_GT(stream.tokens, 0);
}

TEST_F(ServerLifecycleTest, AKilledClientFreesItsSequence) {
  ServerProcess server(Flags());
  ASSERT_TRUE(server.AwaitReady());
  Process client({LAMELLA_CLI_BINARY, "generate", "--server", server.address(), "--max-tokens",
                  "200000", "--ignore-eos", "ab"});
  while (client.output().empty()) {
    ASSERT_EQ(server.Metric("lamella_requests_rejected_total{reason=\"internal\"}"), 0);
  }
  client.Signal(SIGKILL);
  EXPECT_EQ(client.Wait(), 128 + SIGKILL);
  while (server.Metric("lamella_requests_finished_total{reason=\"cancelled\"}") < 1) continue;
  // Gauges follow with the engine's next turn.
  while (server.Metric("lamella_kv_blocks_used") > 0) continue;
  while (server.Metric("lamella_running_sequences") > 0) continue;
  EXPECT_TRUE(Connect(&server)->Generate({.prompt = "ab"}).ok());
}

TEST_F(ServerLifecycleTest, EventsCanBeJsonLines) {
  Process server({LAMELLA_SERVER_BINARY, "--listen=127.0.0.1:0",
                  "--metrics-listen=", "--model=" + model_, "--log-format=json"});
  ASSERT_TRUE(server.AwaitOutput("\"message\":\"ready\"")) << server.output();
  ASSERT_TRUE(server.AwaitOutput("}\n"));
  EXPECT_THAT(server.output(), HasSubstr("\"level\":\"info\""));
  EXPECT_THAT(server.output(), HasSubstr("\"adapters\":0"));
  server.Signal(SIGINT);
  EXPECT_EQ(server.Wait(), 0);
}

}  // namespace
}  // namespace lamella
