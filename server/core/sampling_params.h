// How the next token is chosen, and when to stop. Values, validated at the edge.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lamella {

struct SamplingParams {
  float temperature = 0.0f;  // 0 is greedy
  int32_t top_k = 0;         // 0 keeps every token
  float top_p = 1.0f;        // (0, 1]; 1 keeps every token
  uint64_t seed = 0;         // used only with temperature > 0
  bool has_seed = false;     // false: the caller gave none and the engine picks one

  bool greedy() const { return temperature <= 0.0f; }
};

struct StopParams {
  int32_t max_tokens = 16;  // >= 1
  std::vector<int32_t> stop_token_ids;
  std::vector<std::string> stop_strings;  // each non-empty, UTF-8
  bool ignore_eos = false;
  bool include_stop_string = false;  // whether the matched string stays in the text
};

}  // namespace lamella
