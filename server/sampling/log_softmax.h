// Natural logarithms of the model's own distribution over one row of logits: no penalty, bias,
// temperature or cut is in them. Equal logits give equal bits on every machine, thread and ISA. A
// value; borrows the logits.
#pragma once

#include <cstdint>
#include <span>

#include "server/core/step.h"

namespace lamella::sampling {

class LogSoftmax {
 public:
  // `logits`: finite, at least one.
  explicit LogSoftmax(std::span<const float> logits);

  // At most 0.
  float Of(int32_t token_id) const;

  // The out.size() likeliest tokens (of all at most), likeliest first, lower ids first among
  // equals.
  void Top(std::span<TokenLogprob> out) const;

 private:
  std::span<const float> logits_;
  double log_total_ = 0;  // ln(sum of exp(logit)), so that Of is logit - log_total_
};

}  // namespace lamella::sampling
