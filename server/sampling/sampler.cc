#include "server/sampling/sampler.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "server/sampling/exact_math.h"
#include "server/sampling/philox.h"

namespace lamella::sampling {
namespace {

// Uniform in [0, 1), a multiple of 2^-53.
double Uniform(const SampleKey& key) {
  const PhiloxCounter bits = Philox4x32(
      {static_cast<uint32_t>(key.position), 0, static_cast<uint32_t>(key.choice_index), 0},
      {static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32)});
  const uint64_t word = (uint64_t{bits[0]} << 32) | bits[1];
  return static_cast<double>(word >> 11) * 0x1.0p-53;
}

void ComputeWeights(std::span<const float> logits, float max, float temperature,
                    std::vector<float>& weights) {
  weights.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    weights[i] = ExpOfNonPositive((logits[i] - max) / temperature);
  }
}

// The likeliest token's weight is 1.
void DropBelow(float min_p, std::span<float> weights) {
  for (float& weight : weights) weight = weight < min_p ? 0.0f : weight;
}

double Sum(std::span<const float> weights) {
  double sum = 0;
  for (float weight : weights) sum += weight;
  return sum;
}

// Whether each is finite, or -infinity: a token that never comes.
bool AllChoosable(std::span<const float> logits) {
  uint32_t bad = 0;
  for (const float logit : logits) {
    bad |= static_cast<uint32_t>(!(logit <= std::numeric_limits<float>::max()));
  }
  return bad == 0;
}

// Inverse transform in index order over the whole vocabulary.
int32_t DrawFromAll(std::span<const float> weights, double target, int32_t fallback) {
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    sum += weights[i];
    if (target < sum) return static_cast<int32_t>(i);
  }
  return fallback;
}

// The kept tokens, most likely first, taken off a heap so that no more is sorted than is kept.
class Shortlist {
 public:
  // `top_k` 0 keeps every token.
  Shortlist(std::span<const float> logits, int32_t top_k, const SamplingParams& params,
            SampleScratch& scratch)
      : logits_(logits), weights_(scratch.weights), candidates_(scratch.candidates) {
    const float top_p = params.top_p;
    candidates_.clear();
    double total = Sum(weights_);
    // Tokens below this weight make up less than 1 - top_p together: none of them can be kept.
    const double least = top_k > 0 ? 0.0
                                   : (1.0 - static_cast<double>(top_p)) * total /
                                         static_cast<double>(weights_.size());
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (weights_[i] >= least) candidates_.push_back(static_cast<int32_t>(i));
    }
    std::make_heap(candidates_.begin(), candidates_.end(), Less());
    heap_size_ = candidates_.size();
    if (top_k > 0) total = KeepMost(static_cast<size_t>(top_k));
    KeepShare(top_p, params.min_p, total);
  }

  int32_t Draw(double uniform, int32_t fallback) const {
    const double target = uniform * kept_sum_;
    double sum = 0;
    for (size_t i = 0; i < kept_; ++i) {
      sum += weights_[candidates_[candidates_.size() - 1 - i]];
      if (target < sum) return candidates_[candidates_.size() - 1 - i];
    }
    return fallback;
  }

 private:
  struct LessLikely {
    std::span<const float> logits;
    bool operator()(int32_t a, int32_t b) const {
      return logits[a] != logits[b] ? logits[a] < logits[b] : a > b;
    }
  };
  LessLikely Less() const { return {logits_}; }

  // The most likely tokens lie at the end of candidates_, the very first one last.
  size_t sorted() const { return candidates_.size() - heap_size_; }
  void SortOneMore() {
    std::pop_heap(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(heap_size_),
                  Less());
    --heap_size_;
  }

  // Sorts the `count` most likely ones and forgets the others. Returns their sum.
  double KeepMost(size_t count) {
    double sum = 0;
    while (sorted() < count && heap_size_ > 0) {
      SortOneMore();
      sum += weights_[candidates_[heap_size_]];
    }
    candidates_.erase(candidates_.begin(),
                      candidates_.begin() + static_cast<ptrdiff_t>(heap_size_));
    heap_size_ = 0;
    return sum;
  }

  // The likeliest token's weight is 1, so `min_p` is a bound of weights.
  void KeepShare(float top_p, float min_p, double total) {
    const double enough = static_cast<double>(top_p) * total;
    while (kept_ < candidates_.size() && (kept_ == 0 || top_p >= 1.0f || kept_sum_ < enough)) {
      if (kept_ == sorted()) SortOneMore();
      const float weight = weights_[candidates_[candidates_.size() - kept_ - 1]];
      if (kept_ > 0 && weight < min_p) return;
      ++kept_;
      kept_sum_ += weight;
    }
  }

  std::span<const float> logits_;
  std::span<const float> weights_;
  std::vector<int32_t>& candidates_;
  size_t heap_size_ = 0;
  size_t kept_ = 0;
  double kept_sum_ = 0;
};

}  // namespace

bool AllFinite(std::span<const float> values) {
  uint32_t bad = 0;
  for (float value : values) {
    bad |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & 0x7f800000u) == 0x7f800000u);
  }
  return bad == 0;
}

int32_t ArgMax(std::span<const float> logits) {
  if (logits.empty()) return -1;
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<int32_t>(best);
}

int32_t SampleToken(std::span<const float> logits, const SamplingParams& params,
                    const SampleKey& key, SampleScratch& scratch) {
  const int32_t best = ArgMax(logits);
  if (best < 0 || params.greedy() || params.top_k == 1) return best;
  const float max = logits[static_cast<size_t>(best)];
  if (max == -std::numeric_limits<float>::infinity() || !AllChoosable(logits)) return best;
  ComputeWeights(logits, max, params.temperature, scratch.weights);
  const double uniform = Uniform(key);
  const bool cut_k = params.top_k > 0 && static_cast<size_t>(params.top_k) < logits.size();
  if (cut_k || params.top_p < 1.0f) {
    return Shortlist(logits, cut_k ? params.top_k : 0, params, scratch).Draw(uniform, best);
  }
  if (params.min_p > 0) DropBelow(params.min_p, scratch.weights);
  return DrawFromAll(scratch.weights, uniform * Sum(scratch.weights), best);
}

}  // namespace lamella::sampling
