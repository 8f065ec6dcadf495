// How many KV blocks a request may come to hold: what Submit checks, and what the scheduler promises
// before a request runs. Pure functions.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lamella {

struct KvShape {
  int32_t block_tokens = 16;
  int32_t attention_window = 0;  // as ExecutorLimits
  int32_t step_tokens = 0;       // what one step adds at most before anything falls out of a window
};

inline int64_t BlocksFor(const KvShape& shape, int64_t tokens) {
  return (tokens + shape.block_tokens - 1) / shape.block_tokens;
}

// Blocks of the prompt that `n` choices share: full ones without the last token, whose logits each
// choice computes for itself. None where blocks fall out of a window.
inline int64_t SharedBlocks(const KvShape& shape, int32_t prompt_tokens, int32_t n) {
  if (n == 1 || shape.attention_window > 0) return 0;
  return (prompt_tokens - 1) / shape.block_tokens;
}

inline int64_t WorstCaseBlocks(const KvShape& shape, int32_t prompt_tokens, int32_t max_tokens,
                               int32_t n) {
  // The last token's keys and values are never needed.
  const int64_t own = BlocksFor(shape, int64_t{prompt_tokens} + max_tokens - 1);
  const int64_t shared = SharedBlocks(shape, prompt_tokens, n);
  int64_t each = own - shared;
  if (shape.attention_window > 0) {
    each =
        std::min(each, BlocksFor(shape, int64_t{shape.attention_window} + shape.step_tokens) + 1);
  }
  return shared + each * n;
}

}  // namespace lamella
