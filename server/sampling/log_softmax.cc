#include "server/sampling/log_softmax.h"

#include <algorithm>

#include "server/sampling/exact_math.h"

namespace lamella::sampling {

LogSoftmax::LogSoftmax(std::span<const float> logits) : logits_(logits) {
  const float max = *std::max_element(logits.begin(), logits.end());
  double total = 0;  // 1 at least: the likeliest token's own part
  for (const float logit : logits) total += ExpOfNonPositive(logit - max);
  log_total_ = static_cast<double>(max) + LogOfOneOrMore(total);
}

float LogSoftmax::Of(int32_t token_id) const {
  const double logit = logits_[static_cast<size_t>(token_id)];
  return static_cast<float>(std::min(logit - log_total_, 0.0));
}

// An insertion sort that keeps out.size() entries: few of a vocabulary are ever inserted.
void LogSoftmax::Top(std::span<TokenLogprob> out) const {
  size_t filled = 0;
  for (size_t token = 0; token < logits_.size(); ++token) {
    size_t place = filled;
    const auto less_likely = [&](const TokenLogprob& entry) {
      return logits_[static_cast<size_t>(entry.token_id)] < logits_[token];
    };
    while (place > 0 && less_likely(out[place - 1])) --place;
    if (place == out.size()) continue;
    filled = std::min(filled + 1, out.size());
    std::move_backward(out.begin() + static_cast<ptrdiff_t>(place),
                       out.begin() + static_cast<ptrdiff_t>(filled) - 1,
                       out.begin() + static_cast<ptrdiff_t>(filled));
    out[place].token_id = static_cast<int32_t>(token);
  }
  for (TokenLogprob& entry : out) entry.logprob = Of(entry.token_id);
}

}  // namespace lamella::sampling
