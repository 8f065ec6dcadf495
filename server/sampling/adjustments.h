// What a request does to the model's logits before temperature and cuts: penalties, bias and tokens
// that must not come. The logits themselves stay as they are; a request that adjusts nothing gets
// them back and pays nothing. Pure functions, as SampleToken. Thread-safe as long as threads do not
// share a scratch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/core/sampling_params.h"

namespace lamella::sampling {

// The tokens that a choice depends on.
struct TokenContext {
  std::span<const int32_t> tokens;  // prompt, then answer; ids within the vocabulary
  int32_t prompt_tokens = 0;        // of those
  std::span<const int32_t> banned;  // ids outside the vocabulary mean nothing
};

// Working memory, kept between calls so that steady decode allocates nothing.
struct AdjustScratch {
  void Reserve(size_t vocab_size) {
    adjusted.reserve(vocab_size);
    counts.reserve(vocab_size);
  }

  std::vector<float> adjusted;  // float [vocab_size]
  std::vector<int32_t> counts;  // int32 [vocab_size]: of each token in the answer; 0 between calls
};

// `logits` (finite) with the adjustments in this order, as they are if there are none:
//   of each token in prompt or answer   logit > 0 ? logit / repetition : logit * repetition
//   of each token in the answer         logit - presence - frequency * (times in the answer)
//   of each token with a bias           logit + bias
//   of each banned token                -infinity; but if every token is banned, none is
// Finite values stay finite. The result is valid until the next call with this scratch.
std::span<const float> AdjustLogits(std::span<const float> logits, const SamplingParams& params,
                                    const TokenContext& context, AdjustScratch& scratch);

}  // namespace lamella::sampling
