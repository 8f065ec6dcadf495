// The whole server against what transformers and peft answered: the base and two adapters, all
// prompts at once, over gRPC, in fp32. Needs the demo base model.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/client.h"
#include "tests/integration/server_process.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella {
namespace {

using client::Client;
using client::GenerateOptions;
using testing::ServerProcess;
using testing::TempDir;

// Below it a step is a tie: another order of the same sums may decide otherwise.
constexpr double kTieGap = 0.005;

struct GoldenBase {
  const char* name;      // of the recording
  const char* variable;  // names the model file
  const char* file;      // in the cache
  const char* samples;   // prefix of its sample adapters
};

constexpr GoldenBase kBases[] = {
    {"smollm2-135m-instruct", "LAMELLA_TEST_SMOLLM2", "smollm2-135m-instruct.gguf", "smollm2"},
    {"gemma-3-270m", "LAMELLA_TEST_GEMMA", "gemma-3-270m.gguf", "gemma"},
};

std::string ModelPath(const GoldenBase& base) {
  if (const char* given = std::getenv(base.variable); given != nullptr) return given;
  const char* cache = std::getenv("LAMELLA_CACHE");
  const char* home = std::getenv("HOME");
  const std::string root =
      cache != nullptr ? cache : std::string(home == nullptr ? "" : home) + "/.cache/lamella";
  return root + "/models/" + base.file;
}

class GoldenGenerationTest : public ::testing::TestWithParam<GoldenBase> {
 protected:
  void SetUp() override {
    const std::string model = ModelPath(GetParam());
    if (!std::filesystem::exists(model)) {
      GTEST_SKIP() << "needs " << GetParam().file << ": set " << GetParam().variable
                   << " or run scripts/setup.sh --model";
    }
    const std::string samples = LAMELLA_SOURCE_DIR "/adapters_store/samples";
    for (const char* task : {"sentiment", "german"}) {
      const std::string name = std::string(GetParam().samples) + "-" + task;
      std::filesystem::create_directory_symlink(samples + "/" + name,
                                                adapters_.path() + "/" + name);
    }
    server_ = std::make_unique<ServerProcess>(std::vector<std::string>{
        "--model=" + model, "--dtype=float32", "--adapters-dir=" + adapters_.path()});
    ASSERT_TRUE(server_->AwaitReady());
    client_ = *Client::Connect({.server = server_->address()});
    std::ifstream in(std::string(LAMELLA_SOURCE_DIR "/tests/golden/generate_") + GetParam().name +
                     ".gguf.json");
    golden_ = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
    ASSERT_FALSE(golden_.is_discarded());
  }

  // Recordings name adapters with or without their base.
  static std::string AdapterOf(const nlohmann::json& recorded) {
    if (recorded["adapter"].is_null()) return "";
    const std::string name = recorded["adapter"];
    return name.find('-') == std::string::npos ? std::string(GetParam().samples) + "-" + name
                                               : name;
  }

  std::vector<GenerateOptions> Requests() const {
    std::vector<GenerateOptions> requests;
    for (const auto& c : golden_["cases"]) {
      GenerateOptions options;
      options.adapter = AdapterOf(c);
      options.prompt = c["prompt"];
      options.parse_special_tokens = c["kind"] == "chat";
      // Its own beginning-of-text token would come on top of the one that is written there.
      if (options.prompt.starts_with("<bos>")) {
        options.prompt_token_ids = c["prompt_ids"].get<std::vector<int32_t>>();
      }
      options.max_tokens = static_cast<int32_t>(c["output_ids"].size());
      options.temperature = 0.0F;
      options.ignore_eos = true;
      requests.push_back(std::move(options));
    }
    return requests;
  }

  TempDir adapters_;
  std::unique_ptr<ServerProcess> server_;
  std::unique_ptr<Client> client_;
  nlohmann::json golden_;
};

TEST_P(GoldenGenerationTest, AMixedBatchAnswersAsTheReferenceDoes) {
  const std::vector<GenerateOptions> requests = Requests();
  ASSERT_EQ(requests.size(), 24U);
  std::vector<absl::StatusOr<client::Answer>> answers(requests.size());
  client_->GenerateMany(requests, [&](size_t i, absl::StatusOr<client::Answer> answer) {
    answers[i] = std::move(answer);
  });
  size_t compared = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto& recorded = golden_["cases"][i];
    ASSERT_TRUE(answers[i].ok()) << answers[i].status();
    EXPECT_EQ(answers[i]->adapter, requests[i].adapter);
    EXPECT_EQ(answers[i]->prompt_tokens, static_cast<int32_t>(recorded["prompt_ids"].size()));
    const std::vector<int32_t> expected = recorded["output_ids"];
    ASSERT_EQ(answers[i]->token_ids.size(), expected.size());
    for (size_t k = 0; k < expected.size(); ++k) {
      const bool equal = answers[i]->token_ids[k] == expected[k];
      // What follows a tie that went the other way is another text.
      if (!equal && recorded["gap"][k] < kTieGap) break;
      ASSERT_TRUE(equal) << requests[i].adapter << " on " << requests[i].prompt << ", token " << k;
      ++compared;
    }
  }
  EXPECT_GE(compared, 24U * 24U * 9U / 10U);
  RecordProperty("compared_tokens", static_cast<int>(compared));
}

TEST_P(GoldenGenerationTest, TheAnswersCameOutOfMixedSteps) {
  std::vector<GenerateOptions> requests = Requests();
  double most = 0;
  client_->GenerateMany(requests, [&](size_t, absl::StatusOr<client::Answer> answer) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    most = std::max(most, answer->mean_distinct_adapters);
  });
  EXPECT_GT(most, 1.5);
}

std::string BaseName(const ::testing::TestParamInfo<GoldenBase>& info) {
  return info.param.samples;
}

INSTANTIATE_TEST_SUITE_P(Bases, GoldenGenerationTest, ::testing::ValuesIn(kBases), BaseName);

}  // namespace
}  // namespace lamella
