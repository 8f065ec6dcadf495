#include "tests/bench/load/workload.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace lamella::bench {
namespace {

// Of Punica's popularity and prompt lengths.
constexpr double kSkew = 1.5;
constexpr double kSigma = 0.8;
constexpr double kShift = -1;
constexpr double kScale = 18;

absl::Status Require(bool holds, const char* name, double value) {
  if (holds) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", name, " cannot be ", value));
}

bool IsRange(const Range& range) { return range.low >= 1 && range.low <= range.high; }

// How often each of the adapters is asked for; empty where that is no list of weights.
std::vector<double> Weights(const WorkloadOptions& options) {
  std::vector<double> weights;
  const bool skewed = options.popularity == Popularity::kSkewed;
  if (!skewed && options.popularity != Popularity::kZipf) return weights;
  for (int32_t i = 0; i < options.adapters; ++i) {
    weights.push_back(skewed ? std::pow(kSkew, -i) : std::pow(i + 1, -options.zipf_s));
  }
  return weights;
}

int32_t Between(const Range& range, std::mt19937_64* random) {
  return std::uniform_int_distribution<int32_t>(range.low, range.high)(*random);
}

}  // namespace

absl::Status WorkloadOptions::Validate() const {
  absl::Status status = Require(adapters >= 0, "adapters", adapters);
  status.Update(Require(base_share >= 0 && base_share <= 1, "base_share", base_share));
  status.Update(Require(alpha > 0, "alpha", alpha));
  status.Update(Require(zipf_s >= 0, "zipf_s", zipf_s));
  status.Update(Require(IsRange(prompt_tokens), "prompt_tokens", prompt_tokens.low));
  status.Update(Require(IsRange(answer_tokens), "answer_tokens", answer_tokens.low));
  status.Update(Require(max_total_tokens >= 2, "max_total_tokens", max_total_tokens));
  return status;
}

Workload::Workload(const WorkloadOptions& options) : options_(options), random_(options.seed) {
  const std::vector<double> weights = Weights(options);
  weighted_ = std::discrete_distribution<int32_t>(weights.begin(), weights.end());
}

PlannedRequest Workload::Next() {
  PlannedRequest request;
  request.number = next_++;
  const bool base = std::uniform_real_distribution<double>()(random_) < options_.base_share;
  if (options_.adapters > 0 && !base) request.adapter = NextAdapter();
  DrawLengths(&request);
  return request;
}

int32_t Workload::NextAdapter() {
  const int32_t last = options_.adapters - 1;
  switch (options_.popularity) {
    case Popularity::kDistinct:
      return static_cast<int32_t>(adapters_drawn_++ % options_.adapters);
    case Popularity::kUniform: {
      const auto used = static_cast<int32_t>(std::ceil(std::sqrt(options_.adapters)));
      return Between({0, used - 1}, &random_);
    }
    case Popularity::kIdentical:
      return 0;
    case Popularity::kSLora: {
      const double u = std::uniform_real_distribution<double>()(random_);
      return std::min(last, static_cast<int32_t>(
                                std::floor(options_.adapters * std::pow(u, 1 / options_.alpha))));
    }
    case Popularity::kSkewed:
    case Popularity::kZipf:
      return weighted_(random_);
  }
  return kBaseModel;
}

void Workload::DrawLengths(PlannedRequest* request) {
  if (options_.lengths == Lengths::kUniform) {
    request->prompt_tokens = Between(options_.prompt_tokens, &random_);
    request->answer_tokens = Between(options_.answer_tokens, &random_);
    return;
  }
  const int32_t most = options_.max_total_tokens;
  const double drawn = kShift + kScale * std::lognormal_distribution<double>(0, kSigma)(random_);
  // As doubles: a draw may pass what an integer holds.
  request->prompt_tokens = static_cast<int32_t>(std::clamp(std::round(drawn), 1.0, most - 1.0));
  request->answer_tokens =
      Between({request->prompt_tokens + 1, most}, &random_) - request->prompt_tokens;
}

std::vector<int32_t> PromptOf(const PlannedRequest& request, uint64_t seed, int32_t vocab_size) {
  std::seed_seq mixed{seed, static_cast<uint64_t>(request.number)};
  std::mt19937 random(mixed);
  std::vector<int32_t> ids(static_cast<size_t>(request.prompt_tokens));
  std::uniform_int_distribution<int32_t> any(0, vocab_size - 1);
  for (int32_t& id : ids) id = any(random);
  return ids;
}

}  // namespace lamella::bench
