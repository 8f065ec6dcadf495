// What the churn runs on: a base model of three small layers, contents of adapters that make it say
// other things, and the answers that each content gives alone. One thread, but where it says so.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "server/core/sampling_params.h"
#include "server/lora/adapter_weights.h"
#include "server/model/cpu_executor.h"

namespace lamella::testing {

inline constexpr int32_t kChurnAnswerTokens = 48;  // of the longest request

// An executor over the churn's base model; any two compute the same.
absl::StatusOr<std::unique_ptr<CpuExecutor>> MakeChurnExecutor();

// One adapter as it is uploaded.
struct ChurnContent {
  std::string config_json;
  std::string weights;                // safetensors
  std::vector<std::vector<float>> a;  // by module of the base: float [rank][in]
  std::vector<std::vector<float>> b;  // float [out][rank]
};
ChurnContent MakeChurnContent(const BaseSpec& base, uint32_t seed);

// A prompt with the way in which its answer is sampled; equal indices are equal questions.
struct ChurnQuestion {
  std::vector<int32_t> prompt;
  SamplingParams sampling;
};
ChurnQuestion MakeChurnQuestion(int32_t index);

// Each content's answers when nobody else is there, from an executor of its own and from weights
// that no store, loader or cache has touched. Thread-safe.
class IsolatedAnswers {
 public:
  explicit IsolatedAnswers(std::unique_ptr<CpuExecutor> executor);

  // The first kChurnAnswerTokens tokens. `content` is the index that Add returned; -1 is the base.
  std::vector<int32_t> Answer(int32_t content, int32_t question) EXCLUDES(mutex_);
  int32_t Add(const ChurnContent& content) EXCLUDES(mutex_);

 private:
  std::vector<int32_t> Compute(const AdapterWeights* weights, const ChurnQuestion& question)
      REQUIRES(mutex_);

  Mutex mutex_;
  const std::unique_ptr<CpuExecutor> executor_ PT_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<const AdapterWeights>> weights_ GUARDED_BY(mutex_);
  std::map<std::pair<int32_t, int32_t>, std::vector<int32_t>> answers_ GUARDED_BY(mutex_);
};

}  // namespace lamella::testing
