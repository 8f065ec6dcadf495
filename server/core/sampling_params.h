// How the next token is chosen, and when to stop. Values, validated at the edge.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lamella {

// What requests may ask for; both ends of each range are in it.
inline constexpr float kMaxLogitBias = 100.0f;         // either sign
inline constexpr float kMaxRepetitionPenalty = 10.0f;  // above 0
inline constexpr float kMaxCountPenalty = 2.0f;        // presence and frequency, either sign

struct LogitBias {
  int32_t token_id = 0;
  float bias = 0.0f;  // added to the logit; finite
};

// Applied in the order of the fields: penalties and bias to the logits, then temperature, then the
// cuts by top_k, top_p and min_p.
struct SamplingParams {
  float repetition_penalty = 1.0f;    // > 0: logits of tokens in prompt or answer / or * by it
  float presence_penalty = 0.0f;      // taken off the logit of each token in the answer
  float frequency_penalty = 0.0f;     // taken off it once for each time it stands there
  std::vector<LogitBias> logit_bias;  // by ascending token_id, each once
  float temperature = 0.0f;           // 0 is greedy
  int32_t top_k = 0;                  // 0 keeps every token
  float top_p = 1.0f;                 // (0, 1]; 1 keeps every token
  float min_p = 0.0f;                 // [0, 1): tokens below min_p times the likeliest's go
  uint64_t seed = 0;                  // used only with temperature > 0
  bool has_seed = false;              // false: the caller gave none and the engine picks one

  bool greedy() const { return temperature <= 0.0f; }
  bool has_penalties() const {
    return repetition_penalty != 1.0f || presence_penalty != 0.0f || frequency_penalty != 0.0f;
  }
};

struct StopParams {
  int32_t max_tokens = 16;  // >= 1
  int32_t min_tokens = 0;   // no stop token is chosen, no stop string looked for, before that many
  std::vector<int32_t> stop_token_ids;
  std::vector<std::string> stop_strings;  // each non-empty, UTF-8
  bool ignore_eos = false;
  bool include_stop_string = false;  // whether the matched string stays in the text
};

}  // namespace lamella
