// Which requests are sent: of which adapter, how long their prompts and answers are. Drawn from one
// seed, in the order of sending; equal options give equal requests.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "absl/status/status.h"

namespace lamella::bench {

inline constexpr int32_t kBaseModel = -1;  // in the place of an adapter

// How often each of N adapters is asked for. The first four are Punica's, which names them for a
// batch of N.
enum class Popularity {
  kDistinct,   // one after the other, so that N requests in a row have N adapters
  kUniform,    // ceil(sqrt(N)) adapters, equally often
  kSkewed,     // each 1.5 times as often as the next one
  kIdentical,  // one adapter
  kSLora,      // floor(N u^(1 / alpha)), u uniform in [0, 1)
  kZipf,       // the k-th in proportion to k^-s
};

enum class Lengths {
  kUniform,  // both within their ranges
  kPunica,   // prompts lognormal (sigma 0.8, shifted by -1, scale 18), totals uniform up to a most
};

// Inclusive.
struct Range {
  int32_t low = 8;
  int32_t high = 512;
};

struct WorkloadOptions {
  int32_t adapters = 0;   // 0: only the base model
  double base_share = 0;  // of requests without an adapter, [0, 1]
  Popularity popularity = Popularity::kSLora;
  double alpha = 1;   // of kSLora, > 0; 1 is uniform, smaller is more skewed
  double zipf_s = 1;  // of kZipf, >= 0
  Lengths lengths = Lengths::kUniform;
  Range prompt_tokens;  // of kUniform
  Range answer_tokens;
  int32_t max_total_tokens = 2048;  // of kPunica: prompt and answer together, >= 2
  uint64_t seed = 1;

  // INVALID_ARGUMENT that names the option and its value.
  absl::Status Validate() const;
};

struct PlannedRequest {
  int64_t number = 0;
  int32_t adapter = kBaseModel;  // in [0, adapters)
  int32_t prompt_tokens = 0;
  int32_t answer_tokens = 0;
};

class Workload {
 public:
  // `options` are valid.
  explicit Workload(const WorkloadOptions& options);

  PlannedRequest Next();

 private:
  int32_t NextAdapter();
  void DrawLengths(PlannedRequest* request);

  const WorkloadOptions options_;
  std::mt19937_64 random_;
  std::discrete_distribution<int32_t> weighted_;  // of kSkewed and kZipf
  int64_t next_ = 0;
  int64_t adapters_drawn_ = 0;
};

// The prompt: ids in [0, vocab_size), a function of seed and number. Prompts have no beginning in
// common but by chance, so that none is found in a prefix cache.
std::vector<int32_t> PromptOf(const PlannedRequest& request, uint64_t seed, int32_t vocab_size);

}  // namespace lamella::bench
