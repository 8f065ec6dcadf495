// Recorded answers of the reference libraries (tests/golden/generate_*.json), and how far an
// executor is from them. Teacher-forced: every step continues the recorded tokens, so every step
// compares. Used by tests and by the proof command. No threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/core/model_executor.h"
#include "server/lora/adapter_weights.h"

namespace lamella::testing {

struct GoldenStep {
  int32_t token = 0;                            // the recorded best
  float gap = 0.0F;                             // between the best two logits
  float bf16_error = 0.0F;                      // of the reference in bf16; 0 if not recorded
  std::vector<std::pair<int32_t, float>> top5;  // (token, logit), best first
};

struct GoldenCase {
  std::string kind;     // "plain", "chat", "long"
  std::string adapter;  // a folder of adapters_store/samples; "" is the base
  std::vector<int32_t> prompt_ids;
  std::vector<GoldenStep> steps;  // [24]
};

// INVALID_ARGUMENT for a file that is no such recording.
absl::StatusOr<std::vector<GoldenCase>> ReadGolden(const std::string& path);

// By sample name.
using AdapterMap = std::map<std::string, std::unique_ptr<const AdapterWeights>, std::less<>>;

struct StepResult {
  const GoldenStep* expected = nullptr;
  std::string where;   // "smollm2-german, long, step 3"
  int32_t token = -1;  // our best
  float error = 0.0F;  // largest |difference| over the recorded five logits
};

// Runs all cases in one mixed batch: prompts in chunks, then one token of each a step. The results
// point into `cases`. NOT_FOUND if a case names an adapter that is not in `adapters`.
absl::StatusOr<std::vector<StepResult>> CompareWithGolden(ModelExecutor* executor,
                                                          std::span<const GoldenCase> cases,
                                                          const AdapterMap& adapters);

struct TokenFigures {
  int32_t compared = 0;  // steps whose gap is at least the limit
  int32_t different = 0;
  std::string first_difference;  // where
};
TokenFigures CompareTokens(std::span<const StepResult> results, float min_gap);

float LargestError(std::span<const StepResult> results);
float MedianError(std::span<const StepResult> results);
float MedianRecordedBf16Error(std::span<const StepResult> results);

}  // namespace lamella::testing
