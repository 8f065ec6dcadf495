// Choosing the next token from one row of logits. Pure functions: equal logits, parameters and key
// give the same token on every machine, thread and ISA (exact_math.h, no fused multiply-add).
// Thread-safe as long as threads do not share a scratch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/core/sampling_params.h"

namespace lamella::sampling {

// What a drawn token depends on besides logits and parameters.
struct SampleKey {
  uint64_t seed = 0;
  int32_t choice_index = 0;
  int32_t position = 0;  // number of tokens generated before this one
};

// Working memory, kept between calls so that steady decode allocates nothing.
struct SampleScratch {
  void Reserve(size_t vocab_size) {
    weights.reserve(vocab_size);
    candidates.reserve(vocab_size);
  }

  std::vector<float> weights;       // float [vocab_size]: exp((logit - max) / temperature)
  std::vector<int32_t> candidates;  // token ids
};

bool AllFinite(std::span<const float> values);

// Lowest index among the maxima; -1 if `logits` is empty.
int32_t ArgMax(std::span<const float> logits);

// A token id; -1 if `logits` is empty. `logits` are finite, or -infinity for tokens that never come
// (one at least is finite): adjustments.h makes them. Greedy is ArgMax. Otherwise temperature first,
// then the top_k most likely tokens (among equals the lower ids), of those the smallest set of the
// most likely whose share reaches top_p (one at least), of those the ones with min_p times the
// likeliest's probability at least. With other logits the answer is some valid id.
int32_t SampleToken(std::span<const float> logits, const SamplingParams& params,
                    const SampleKey& key, SampleScratch& scratch);

}  // namespace lamella::sampling
