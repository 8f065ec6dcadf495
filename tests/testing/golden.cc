#include "tests/testing/golden.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/base/status_macros.h"
#include "tests/testing/step_driver.h"

namespace lamella::testing {
namespace {

using Json = nlohmann::json;

GoldenCase ReadCase(const Json& json, const std::string& base) {
  GoldenCase result;
  result.kind = json["kind"];
  if (!json["adapter"].is_null()) {
    result.adapter = json["adapter"];
    // One recording names its adapters by task alone.
    const std::string family = base.substr(0, base.find('-'));
    if (!result.adapter.starts_with(family)) result.adapter = family + "-" + result.adapter;
  }
  result.prompt_ids = json["prompt_ids"].get<std::vector<int32_t>>();
  for (size_t i = 0; i < json["output_ids"].size(); ++i) {
    GoldenStep step;
    step.token = json["output_ids"][i];
    step.gap = json["gap"][i];
    if (json.contains("bf16_error")) step.bf16_error = json["bf16_error"][i];
    for (const Json& entry : json["top5"][i]) step.top5.emplace_back(entry[0], entry[1]);
    result.steps.push_back(std::move(step));
  }
  return result;
}

float Median(std::vector<float> values) {
  if (values.empty()) return 0.0F;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// One comparison in progress.
class Comparison {
 public:
  Comparison(ModelExecutor* executor, std::span<const GoldenCase> cases)
      : executor_(*executor), driver_(executor), cases_(cases) {}

  absl::Status AddSequences(const AdapterMap& adapters) {
    for (const GoldenCase& one : cases_) {
      const AdapterWeights* adapter = nullptr;
      if (!one.adapter.empty()) {
        const auto found = adapters.find(one.adapter);
        if (found == adapters.end()) {
          return absl::NotFoundError("the sample adapter " + one.adapter + " is not loaded");
        }
        adapter = found->second.get();
      }
      std::vector<int32_t> tokens = one.prompt_ids;
      for (const GoldenStep& step : one.steps) tokens.push_back(step.token);
      const int32_t sequence = driver_.Add(std::move(tokens), adapter);
      const auto decoded = static_cast<int32_t>(one.steps.size()) + 1;
      RETURN_IF_ERROR(driver_.Prefill(sequence, executor_.limits().max_rows, decoded));
    }
    return absl::OkStatus();
  }

  absl::Status RunStep(size_t step) {
    std::vector<Feed> feeds;
    for (size_t i = 0; i < cases_.size(); ++i) {
      if (step < cases_[i].steps.size()) feeds.push_back({static_cast<int32_t>(i), 1, true});
    }
    RETURN_IF_ERROR(driver_.Step(feeds).status());
    for (size_t row = 0; row < feeds.size(); ++row) {
      Compare(cases_[static_cast<size_t>(feeds[row].sequence)], step, driver_.logits(row));
    }
    return absl::OkStatus();
  }

  std::vector<StepResult> TakeResults() { return std::move(results_); }

 private:
  void Compare(const GoldenCase& one, size_t step, std::span<const float> logits) {
    StepResult result;
    result.expected = &one.steps[step];
    result.where = (one.adapter.empty() ? "base" : one.adapter) + ", " + one.kind + " of " +
                   std::to_string(one.prompt_ids.size()) + " tokens, step " + std::to_string(step);
    result.token =
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    for (const auto& [token, logit] : result.expected->top5) {
      const float error = std::abs(logits[static_cast<size_t>(token)] - logit);
      if (!(error <= result.error)) result.error = error;  // NaN stays
    }
    results_.push_back(std::move(result));
  }

  ModelExecutor& executor_;
  StepDriver driver_;
  std::span<const GoldenCase> cases_;
  std::vector<StepResult> results_;
};

}  // namespace

absl::StatusOr<std::vector<GoldenCase>> ReadGolden(const std::string& path) {
  std::ifstream file(path);
  const Json json = Json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("cases")) {
    return absl::InvalidArgumentError(path + " is not a recording");
  }
  std::vector<GoldenCase> cases;
  for (const Json& one : json["cases"]) cases.push_back(ReadCase(one, json["base"]));
  return cases;
}

absl::StatusOr<std::vector<StepResult>> CompareWithGolden(ModelExecutor* executor,
                                                          std::span<const GoldenCase> cases,
                                                          const AdapterMap& adapters) {
  Comparison comparison(executor, cases);
  RETURN_IF_ERROR(comparison.AddSequences(adapters));
  size_t steps = 0;
  for (const GoldenCase& one : cases) steps = std::max(steps, one.steps.size());
  for (size_t step = 0; step < steps; ++step) RETURN_IF_ERROR(comparison.RunStep(step));
  return comparison.TakeResults();
}

TokenFigures CompareTokens(std::span<const StepResult> results, float min_gap) {
  TokenFigures figures;
  for (const StepResult& result : results) {
    if (result.expected->gap < min_gap) continue;
    ++figures.compared;
    if (result.token == result.expected->token) continue;
    if (figures.different++ == 0) figures.first_difference = result.where;
  }
  return figures;
}

float LargestError(std::span<const StepResult> results) {
  float largest = 0.0F;
  for (const StepResult& result : results) {
    if (!(result.error <= largest)) largest = result.error;
  }
  return largest;
}

float MedianError(std::span<const StepResult> results) {
  std::vector<float> values;
  for (const StepResult& result : results) values.push_back(result.error);
  return Median(std::move(values));
}

float MedianRecordedBf16Error(std::span<const StepResult> results) {
  std::vector<float> values;
  for (const StepResult& result : results) values.push_back(result.expected->bf16_error);
  return Median(std::move(values));
}

}  // namespace lamella::testing
