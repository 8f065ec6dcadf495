#include "tests/stress/churn_models.h"

#include <cmath>
#include <random>
#include <utility>

#include "tests/model/tiny_model.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/step_driver.h"

namespace lamella::testing {
namespace {

constexpr int32_t kRank = 4;
constexpr float kScale = 2.0F;  // lora_alpha 8 over rank 4

std::vector<float> RandomMatrix(int64_t count, float limit, std::mt19937* random) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = limit * (static_cast<float>((*random)() % 20001) / 10000.0F - 1.0F);
  }
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuExecutor>> MakeChurnExecutor() {
  CpuExecutorOptions options;
  options.threads = 1;
  options.kv_cache_bytes = int64_t{4} << 20;
  options.max_rows = 64;
  options.max_sequences = 16;
  return CpuExecutor::Create(TinySource(TinyConfig("llama"), 5), options);
}

ChurnContent MakeChurnContent(const BaseSpec& base, uint32_t seed) {
  std::mt19937 random(seed);
  ChurnContent content;
  content.config_json = R"({"peft_type":"LORA","task_type":"CAUSAL_LM","r":4,"lora_alpha":8})";
  SafetensorsWriter writer;
  for (const BaseModule& module : base.modules) {
    content.a.push_back(RandomMatrix(kRank * module.in_features,
                                     1.0F / std::sqrt(static_cast<float>(module.in_features)),
                                     &random));
    content.b.push_back(RandomMatrix(kRank * module.out_features, 0.3F, &random));
    writer.Add(PeftAdapter::TensorName(module.path, "lora_A"), {kRank, module.in_features},
               content.a.back());
    writer.Add(PeftAdapter::TensorName(module.path, "lora_B"), {module.out_features, kRank},
               content.b.back());
  }
  content.weights = writer.Bytes();
  return content;
}

ChurnQuestion MakeChurnQuestion(int32_t index) {
  std::mt19937 random(static_cast<uint32_t>(index) + 77);
  ChurnQuestion question;
  question.prompt = TinyTokens(TinyConfig("llama"), 1 + static_cast<int32_t>(random() % 24),
                               static_cast<uint32_t>(index));
  if (index % 2 == 1) {
    question.sampling.temperature = 0.8F;
    question.sampling.seed = random();
    question.sampling.has_seed = true;
  }
  return question;
}

IsolatedAnswers::IsolatedAnswers(std::unique_ptr<CpuExecutor> executor)
    : executor_(std::move(executor)) {}

int32_t IsolatedAnswers::Add(const ChurnContent& content) {
  MutexLock lock(&mutex_);
  const BaseSpec& base = executor_->base_spec();
  std::vector<LoraModuleShape> shapes;
  for (const BaseModule& module : base.modules) {
    shapes.push_back(
        {module.layer, module.kind, kRank, module.in_features, module.out_features, kScale});
  }
  AdapterWeightsBuilder builder(AdapterRef{"alone", "alone", "alone"}, base.num_layers(), shapes,
                                executor_->kernel_table());
  for (size_t i = 0; i < shapes.size(); ++i) {
    builder.Pack(i, content.a[i].data(), content.b[i].data());
  }
  weights_.push_back(std::move(builder).Finish());
  return static_cast<int32_t>(weights_.size()) - 1;
}

std::vector<int32_t> IsolatedAnswers::Answer(int32_t content, int32_t question) {
  MutexLock lock(&mutex_);
  const auto [found, is_new] = answers_.try_emplace({content, question});
  if (is_new) {
    const AdapterWeights* weights =
        content < 0 ? nullptr : weights_[static_cast<size_t>(content)].get();
    found->second = Compute(weights, MakeChurnQuestion(question));
  }
  return found->second;
}

std::vector<int32_t> IsolatedAnswers::Compute(const AdapterWeights* weights,
                                              const ChurnQuestion& question) {
  StepDriver driver(executor_.get());
  const int32_t sequence = driver.Add(question.prompt, weights);
  std::vector<int32_t> answer;
  while (static_cast<int32_t>(answer.size()) < kChurnAnswerTokens) {
    const Feed feed{sequence, driver.pending(sequence), true, question.sampling};
    const auto output = driver.Step({&feed, 1});
    if (!output.ok()) return {};
    answer.push_back((*output)->sampled[0].token_id);
    driver.Append(sequence, answer.back());
  }
  return answer;
}

}  // namespace lamella::testing
