// `lamella top|usage|doctor|capacity|completion`: what an operator looks with, against a real server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "common/formats/digest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/server_process.h"
#include "tests/integration/tiny_model.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::PeftAdapter;
using testing::Process;
using testing::ServerProcess;
using testing::TempDir;

struct Ran {
  int status = 0;
  std::string output;

  std::vector<json> lines() const {
    std::vector<json> all;
    std::istringstream in(output);
    for (std::string line; std::getline(in, line);) {
      all.push_back(json::parse(line, nullptr, /*allow_exceptions=*/false));
    }
    return all;
  }
};

class OperatorCliTest : public ::testing::Test {
 protected:
  void StartServer(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--model=" + model_, "--dtype=float32", "--threads=1",
                                      "--kv-cache-bytes=16MiB",
                                      "--adapters-store=" + dir_.path() + "/store"};
    flags.insert(flags.end(), more.begin(), more.end());
    server_ = std::make_unique<ServerProcess>(flags);
    ASSERT_TRUE(server_->AwaitReady());
  }
  static Ran Run(const std::vector<std::string>& command) {
    Process process(command);
    Ran ran;
    ran.status = process.Wait();
    ran.output = process.output();
    return ran;
  }
  Ran Lamella(const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {LAMELLA_CLI_BINARY, "--admin", server_->admin_address(),
                                        "--server", server_->address()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return Run(command);
  }
  // Of all seven modules at rank 4, uploaded and warm.
  void Upload(const std::string& id) {
    PeftAdapter adapter;
    adapter.Config(R"({"peft_type":"LORA","task_type":"CAUSAL_LM","r":4,"lora_alpha":4})");
    const int64_t q = testing::kServedHeads * testing::kServedHeadDim;
    const int64_t kv = testing::kServedKvHeads * testing::kServedHeadDim;
    const int64_t h = testing::kServedHidden, inner = testing::kServedInner;
    for (int layer = 0; layer < 2; ++layer) {
      const std::string path = "model.layers." + std::to_string(layer);
      adapter.Module(path + ".self_attn.q_proj", 4, h, q, 0.5F);
      adapter.Module(path + ".self_attn.k_proj", 4, h, kv, 0.5F);
      adapter.Module(path + ".self_attn.v_proj", 4, h, kv, 0.5F);
      adapter.Module(path + ".self_attn.o_proj", 4, q, h, 0.5F);
      adapter.Module(path + ".mlp.gate_proj", 4, h, inner, 0.5F);
      adapter.Module(path + ".mlp.up_proj", 4, h, inner, 0.5F);
      adapter.Module(path + ".mlp.down_proj", 4, inner, h, 0.5F);
    }
    adapter.WriteTo(dir_, id);
    const Ran uploaded =
        Lamella({"adapters", "upload", dir_.path() + "/" + id, "--id", id, "--alias", "live"});
    ASSERT_EQ(uploaded.status, 0) << uploaded.output;
    const Ran warmed = Lamella({"adapters", "warm", id, "live"});
    ASSERT_EQ(warmed.status, 0) << warmed.output;
  }

  TempDir dir_;
  std::string model_ = dir_.Write("tiny.gguf", testing::ServedModel().Build());
  std::unique_ptr<ServerProcess> server_;
};

TEST_F(OperatorCliTest, CapacityIsWhatTheServerIsCharged) {
  StartServer();
  Upload("poet");
  const double charged = server_->Metric("lamella_adapter_cache_bytes");
  EXPECT_GT(charged, 0);
  const Ran ran = Run({LAMELLA_CLI_BINARY, "capacity", model_, "--rank", "4", "--dtype", "float32",
                       "--bytes", "1MiB", "--output=json"});
  ASSERT_EQ(ran.status, 0) << ran.output;
  const json line = ran.lines().at(0);
  EXPECT_EQ(line["resident_bytes"], charged);
  EXPECT_EQ(line["adapters"], (1 << 20) / static_cast<int64_t>(charged));
}

TEST_F(OperatorCliTest, CapacitySaysWhatIsWrongWithAModel) {
  const Ran ran = Run({LAMELLA_CLI_BINARY, "capacity", dir_.path() + "/none.gguf"});
  EXPECT_EQ(ran.status, 2) << "as docs/cli.md says of input files";
  EXPECT_THAT(ran.output, HasSubstr("MISSING_FILE"));
  EXPECT_EQ(Run({LAMELLA_CLI_BINARY, "capacity", model_, "--bytes", "many"}).status, 2);
}

// Ranks go as far as those of uploads.
TEST_F(OperatorCliTest, CapacityTakesTheRanksThatUploadsMayHave) {
  const auto capacity = [this](const std::string& rank) {
    return Run({LAMELLA_CLI_BINARY, "capacity", model_, "--rank", rank}).status;
  };
  EXPECT_EQ(capacity("4096"), 0);
  EXPECT_EQ(capacity("4097"), 2);
}

TEST_F(OperatorCliTest, GenerateTakesStopTokensAndARequestId) {
  StartServer();
  const auto generate = [this](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"generate",     "--max-tokens",  "8",
                                          "--ignore-eos", "--output=json", "ab"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ran ran = Lamella(arguments);
    EXPECT_EQ(ran.status, 0) << ran.output;
    return ran.lines().at(0);
  };
  const json free = generate({"--request-id", "mine-1"});
  EXPECT_EQ(free["request_id"], "mine-1");
  EXPECT_EQ(free["finish_reason"], "length");
  const int first = free["token_ids"][0];
  const json stopped = generate({"--stop-token-ids", std::to_string(first) + ",0"});
  EXPECT_EQ(stopped["finish_reason"], "stop_token");
  EXPECT_EQ(stopped["stop_token_id"], first);
  const std::string text = free["text"];
  const std::string stop = text.substr(0, 1);
  const json without = generate({"--stop", stop});
  EXPECT_EQ(without["text"], "");
  EXPECT_EQ(without["stop_string"], stop);
  EXPECT_EQ(generate({"--stop", stop, "--include-stop"})["text"], stop);
}

TEST_F(OperatorCliTest, TopShowsTheLoadOnce) {
  StartServer();
  EXPECT_EQ(Lamella({"generate", "--max-tokens", "3", "--ignore-eos", "ab"}).status, 0);
  const Ran ran = Lamella({"top", "--metrics", server_->metrics_address(), "--once", "--interval",
                           "0.1", "--output=json"});
  ASSERT_EQ(ran.status, 0) << ran.output;
  const json view = ran.lines().at(0);
  EXPECT_EQ(view["model"], "tiny");
  EXPECT_EQ(view["draining"], false);
  EXPECT_EQ(view["tenants"][0]["tenant"], "default");
  EXPECT_EQ(view["tenants"][0]["requests"], 1);
  const Ran text =
      Lamella({"top", "--metrics", server_->metrics_address(), "--once", "--interval", "0.1"});
  EXPECT_THAT(text.output, HasSubstr("serving"));
  EXPECT_THAT(text.output, HasSubstr("default"));
  EXPECT_EQ(Lamella({"top", "--metrics", "127.0.0.1:1", "--once"}).status, 3);
}

TEST_F(OperatorCliTest, UsageIsWhatTheTenantDidAndHas) {
  StartServer();
  Upload("poet");
  EXPECT_EQ(Lamella({"generate", "--max-tokens", "3", "--ignore-eos", "ab"}).status, 0);
  const Ran ran = Lamella({"usage", "--output=json"});
  ASSERT_EQ(ran.status, 0) << ran.output;
  const json usage = ran.lines().at(0);
  EXPECT_EQ(usage["tenant"], "default");
  EXPECT_EQ(usage["counters"]["requests"], 1);
  EXPECT_EQ(usage["counters"]["generated_tokens"], 3);
  EXPECT_EQ(usage["holdings"]["resident_bytes"], server_->Metric("lamella_adapter_cache_bytes"));
  EXPECT_EQ(usage["holdings"]["stored_bytes"], server_->Metric("lamella_stored_bytes"));
  EXPECT_EQ(usage["holdings"]["stored_versions"], 1);
  EXPECT_GT(usage["holdings"]["uploaded_today_bytes"], usage["holdings"]["stored_bytes"]);
  EXPECT_EQ(usage["quotas"]["stored_bytes"], 0);
  EXPECT_EQ(server_->Metric("lamella_tenant_stored_bytes{tenant=\"default\"}"),
            usage["holdings"]["stored_bytes"]);
  EXPECT_EQ(server_->Metric("lamella_tenant_uploaded_today_bytes{tenant=\"default\"}"),
            usage["holdings"]["uploaded_today_bytes"]);
  EXPECT_THAT(Lamella({"usage"}).output, HasSubstr("tenant default, weight 1"));
}

TEST_F(OperatorCliTest, DoctorFindsAHealthyServerHealthy) {
  StartServer();
  const Ran ran = Lamella({"doctor", "--metrics", server_->metrics_address(), "--model", model_,
                           "--adapters-store", dir_.path() + "/store", "--output=json"});
  EXPECT_EQ(ran.status, 0) << ran.output;
  std::set<std::string> checks;
  for (const json& finding : ran.lines()) {
    checks.insert(finding["check"]);
    if (finding["check"] == "store") continue;  // the disk of this machine may be nearly full
    EXPECT_EQ(finding["verdict"], "ok") << finding;
  }
  EXPECT_EQ(checks, (std::set<std::string>{"data listener", "admin listener", "model",
                                           "credentials", "metrics", "model file", "store"}));
}

TEST_F(OperatorCliTest, DoctorSaysWhatIsWrong) {
  const std::string broken = dir_.Write("broken.gguf", "GGUF");
  const std::string pickled = dir_.path() + "/adapters";
  ASSERT_EQ(Run({"/bin/mkdir", "-p", pickled + "/a"}).status, 0);
  std::ofstream(pickled + "/a/adapter_model.bin") << "x";
  const Ran ran = Run({LAMELLA_CLI_BINARY, "--server", "127.0.0.1:1", "--admin", "127.0.0.1:1",
                       "doctor", "--metrics", "127.0.0.1:1", "--model", broken, "--adapters-dir",
                       pickled, "--adapters-store", dir_.path() + "/none"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.output, HasSubstr("FAILED   data listener"));
  EXPECT_THAT(ran.output, HasSubstr("FAILED   model file"));
  EXPECT_THAT(ran.output, HasSubstr("lamella.convert"));
  EXPECT_THAT(ran.output, HasSubstr("FAILED   store"));
}

TEST_F(OperatorCliTest, DoctorTellsADrainFromAFault) {
  StartServer({"--drain-grace=120s", "--kv-cache-bytes=128MiB"});
  Process stream({LAMELLA_CLI_BINARY, "--server", server_->address(), "generate", "--max-tokens",
                  "200000", "--ignore-eos", "--output=json", "ab"});
  while (server_->Metric("lamella_requests_accepted_total") == 0) continue;
  server_->process().Signal(SIGTERM);
  ASSERT_TRUE(server_->process().AwaitOutput("draining"));
  const Ran ran = Lamella({"doctor", "--metrics", server_->metrics_address()});
  EXPECT_THAT(ran.output, HasSubstr("data listener    " + server_->address() + " is draining"));
}

TEST_F(OperatorCliTest, DoctorNamesAWrongKey) {
  const std::string credentials = dir_.Write("credentials.json", R"({"credentials":[]})");
  const std::string key = dir_.Write("key", "wrong");
  StartServer({"--credentials=" + credentials});
  const Ran ran = Lamella({"--token-file", key, "doctor", "--metrics", server_->metrics_address()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.output, HasSubstr("FAILED   credentials"));
  EXPECT_THAT(ran.output, HasSubstr("UNAUTHENTICATED"));
}

TEST_F(OperatorCliTest, DoctorFindsNoFaultInARoleThatMayNotAskTheModel) {
  const std::string credentials = dir_.Write(
      "credentials.json", R"({"credentials":[{"name":"writer","sha256":")" + Sha256Hex("writer") +
                              R"(","tenant":"anna","roles":["adapter-writer"]}]})");
  const std::string key = dir_.Write("key", "writer");
  StartServer({"--credentials=" + credentials});
  const Ran ran = Lamella({"--token-file", key, "doctor", "--metrics", server_->metrics_address()});
  EXPECT_EQ(ran.status, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("PERMISSION_DENIED"));
}

// What bash offers for these words, the last of which is being written.
std::set<std::string> Completed(const std::string& words) {
  const std::string script = "source <(" LAMELLA_CLI_BINARY " completion bash); COMP_WORDS=(" +
                             words +
                             "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _lamella; "
                             "printf '%s\\n' \"${COMPREPLY[@]}\"";
  Process bash({"/bin/bash", "-c", script});
  EXPECT_EQ(bash.Wait(), 0) << bash.output();
  std::istringstream lines(bash.output());
  std::set<std::string> offered;
  for (std::string line; std::getline(lines, line);) offered.insert(line);
  return offered;
}

TEST(CompletionTest, BashOffersCommandsAndTheirOptions) {
  EXPECT_THAT(Completed("lamella ad"), ::testing::ElementsAre("adapters"));
  EXPECT_THAT(Completed("lamella ''"),
              ::testing::IsSupersetOf({"adapters", "top", "usage", "--server"}));
  EXPECT_THAT(Completed("lamella adapters up"), ::testing::ElementsAre("upload"));
  const auto options = Completed("lamella --output json adapters upload --");
  EXPECT_THAT(options, ::testing::IsSupersetOf({"--alias", "--id", "--server"}));
  EXPECT_FALSE(options.contains("--interval"));
  EXPECT_THAT(Completed("lamella top --int"), ::testing::ElementsAre("--interval"));
}

// docs/cli.md and the parser list the same commands.
TEST(CliDocsTest, ThePageHasEveryCommand) {
  std::set<std::string> documented;
  std::ifstream in(std::string(LAMELLA_SOURCE_DIR) + "/docs/cli.md");
  ASSERT_TRUE(in.is_open());
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("| `")) documented.insert(line.substr(3, line.find('`', 3) - 3));
  }
  std::set<std::string> commands;
  for (const std::string& word : Completed("lamella ''")) {
    if (!word.starts_with("--")) commands.insert(word);
  }
  EXPECT_EQ(documented, commands);
}

}  // namespace
}  // namespace lamella
