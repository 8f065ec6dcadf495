// A folder of adapters of which most are bad, each in a way that other servers were seen to accept
// or to answer with an internal error: every one is refused by name, and the good ones are served.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <memory>
#include <string>

#include "client/client.h"
#include "common/base/error.h"
#include "tests/integration/server_process.h"
#include "tests/integration/tiny_model.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella {
namespace {

using client::Client;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kServedHeadDim;
using testing::kServedHeads;
using testing::kServedHidden;
using testing::kServedKvHeads;
using testing::PeftAdapter;
using testing::ServerProcess;
using testing::TempDir;

constexpr char kQ[] = "model.layers.0.self_attn.q_proj";
constexpr char kV[] = "model.layers.1.self_attn.v_proj";
constexpr int64_t kQOut = kServedHeads * kServedHeadDim;
constexpr int64_t kVOut = kServedKvHeads * kServedHeadDim;

std::string Config(const std::string& more = "") {
  return R"({"peft_type":"LORA","task_type":"CAUSAL_LM","r":4,"lora_alpha":8)" + more + "}";
}

PeftAdapter Good(const std::string& config = Config()) {
  PeftAdapter adapter;
  adapter.Config(config).Module(kQ, 4, kServedHidden, kQOut, 0.3F, 0.7F);
  return adapter;
}

class BadAdaptersTest : public ::testing::Test {
 protected:
  void Refused(const std::string& name, const std::string& reason, const PeftAdapter& adapter) {
    adapter.WriteTo(adapters_, name);
    reasons_[name] = reason;
  }

  // The rows of the table, but those that are right for us.
  void WriteBadOnes() {
    PeftAdapter adapter;
    adapter.Config(Config()).Module("model.layers.9.self_attn.q_proj", 4, kServedHidden, kQOut);
    Refused("other-base", "NO_MODULE_BOUND", adapter);
    adapter = Good();
    adapter.Module("model.layers.9.self_attn.q_proj", 4, kServedHidden, kQOut);
    Refused("one-too-many", "UNKNOWN_TENSOR", adapter);
    Refused("no-tensors", "NO_MODULE_BOUND", PeftAdapter().Config(Config()));
    adapter = PeftAdapter().Config(Config());
    adapter.Module(kQ, 4, kServedHidden + 8, kQOut);
    Refused("wrong-in", "SHAPE_MISMATCH", adapter);
    adapter = PeftAdapter().Config(Config());
    adapter.Module(kQ, 4, kServedHidden, kQOut + 8);
    Refused("wrong-out", "SHAPE_MISMATCH", adapter);
    Refused("wrong-rank", "RANK_MISMATCH", Good(R"({"peft_type":"LORA","r":8,"lora_alpha":8})"));
    adapter = PeftAdapter().Config(Config());
    adapter.Module(kQ, 4, kServedHidden, kQOut, std::numeric_limits<float>::quiet_NaN());
    Refused("nan", "NON_FINITE", adapter);
    adapter = PeftAdapter().Config(Config());
    adapter.weights.Fill(PeftAdapter::TensorName(kQ, "lora_A"), {4, kServedHidden}, 0.1F);
    Refused("no-b", "MISSING_PAIR", adapter);
    Refused("dora", "UNSUPPORTED_FEATURE", Good(Config(R"(,"use_dora":true)")));
    Refused("biased", "UNSUPPORTED_FEATURE", Good(Config(R"(,"bias":"all")")));
    Refused("heads", "UNSUPPORTED_FEATURE", Good(Config(R"(,"modules_to_save":["lm_head"])")));
    Refused("twice", "DUPLICATE_KEY", Good(Config(R"(,"r":4)")));
    Refused("future", "UNKNOWN_CONFIG_KEY", Good(Config(R"(,"new_mathematics":true)")));
    Good().WriteTo(adapters_, "cut");
    const std::string bytes = Good().weights.Bytes();
    adapters_.Write("cut/adapter_model.safetensors", bytes.substr(0, bytes.size() - 16));
    reasons_["cut"] = "TRUNCATED";
  }

  TempDir adapters_;
  std::map<std::string, std::string> reasons_;  // of the refused, by name
  TempDir dir_;
  std::string model_ = dir_.Write("tiny.gguf", testing::ServedModel().Build());
};

TEST_F(BadAdaptersTest, EachIsRefusedByNameAndTheOthersAreServed) {
  WriteBadOnes();
  Good().WriteTo(adapters_, "good");
  PeftAdapter patterned =
      Good(Config(R"(,"rank_pattern":{"v_proj":2},"alpha_pattern":{"v_proj":16})"));
  patterned.Module(kV, 2, kServedHidden, kVOut, 0.5F, 0.5F);
  patterned.WriteTo(adapters_, "patterned");

  ServerProcess server(
      {"--model=" + model_, "--dtype=float32", "--adapters-dir=" + adapters_.path()});
  ASSERT_TRUE(server.AwaitReady());
  const std::string log = server.process().output();
  EXPECT_THAT(log, HasSubstr("adapters=2 refused=" + std::to_string(reasons_.size())));
  auto client = *Client::Connect({.server = server.address()});
  for (const auto& [name, reason] : reasons_) {
    EXPECT_THAT(log, HasSubstr("adapter refused adapter=" + name + " reason=" + reason));
    const auto answer = client->Generate({.adapter = name, .prompt = "ab"});
    EXPECT_FALSE(answer.ok()) << name;
    EXPECT_EQ(ErrorReason(answer.status()), reason) << name << ": " << answer.status();
  }
  const auto listed = client->ListAdapters();
  ASSERT_TRUE(listed.ok()) << listed.status();
  std::vector<std::string> names;
  for (const auto& adapter : *listed) names.push_back(adapter.adapter_id);
  EXPECT_THAT(names, ElementsAre("good", "patterned"));

  const auto base = client->Generate({.prompt = "ab", .max_tokens = 24, .ignore_eos = true});
  ASSERT_TRUE(base.ok()) << base.status();
  for (const std::string& name : names) {
    const auto answer =
        client->Generate({.adapter = name, .prompt = "ab", .max_tokens = 24, .ignore_eos = true});
    ASSERT_TRUE(answer.ok()) << name << ": " << answer.status();
    EXPECT_EQ(answer->adapter, name);
    EXPECT_NE(answer->token_ids, base->token_ids) << name;
  }
}

TEST_F(BadAdaptersTest, UnknownAdaptersAreNotFound) {
  Good().WriteTo(adapters_, "good");
  ServerProcess server({"--model=" + model_, "--adapters-dir=" + adapters_.path()});
  ASSERT_TRUE(server.AwaitReady());
  auto client = *Client::Connect({.server = server.address()});
  for (const char* unknown : {"nobody", "good@canary", "good@sha256:000000000000"}) {
    const auto answer = client->Generate({.adapter = unknown, .prompt = "ab"});
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound) << unknown;
    EXPECT_EQ(ErrorReason(answer.status()), "ADAPTER_NOT_FOUND") << unknown;
    EXPECT_EQ(ErrorField(answer.status()), "adapter_id") << unknown;
  }
  for (const char* malformed : {"UPPER", "../good", "good@", "good@sha256:xyz"}) {
    const auto answer = client->Generate({.adapter = malformed, .prompt = "ab"});
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument) << malformed;
    EXPECT_EQ(ErrorReason(answer.status()), "INVALID_ADAPTER_ID") << malformed;
    EXPECT_EQ(ErrorField(answer.status()), "adapter_id") << malformed;
  }
}

TEST_F(BadAdaptersTest, ThePromptMustFitIntoTheContextAndTheAnswerEndsWithIt) {
  ServerProcess server({"--model=" + model_, "--kv-cache-bytes=1MiB", "--dtype=float32"});
  ASSERT_TRUE(server.AwaitReady());
  auto client = *Client::Connect({.server = server.address()});
  const int32_t context = client->GetModelInfo()->context_tokens;
  const std::string prompt(static_cast<size_t>(context) + 1, 'c');
  const auto too_long = client->Generate({.prompt = prompt});
  EXPECT_EQ(too_long.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(too_long.status()), "PROMPT_TOO_LONG") << too_long.status();
  EXPECT_EQ(ErrorField(too_long.status()), "text");
  const auto cut = client->Generate(
      {.prompt = prompt.substr(0, prompt.size() - 9), .max_tokens = 100, .ignore_eos = true});
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->finish_reason, "length");
  EXPECT_EQ(cut->generated_tokens, context - cut->prompt_tokens);
}

}  // namespace
}  // namespace lamella
