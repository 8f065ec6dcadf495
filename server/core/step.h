// One step: a forward pass over a mixed set of prefill chunks and decode rows of any adapters. The
// engine builds a StepInput, the executor answers with a StepOutput; both are plain values without
// tensors. A step with R rows:
//
//   row   0    1    2    3     4     5        sequences
//   what  prefill token         decode         {row_begin 0, rows 4, first_position 0}   A
//         504  3575 282  4649  314   30        {row_begin 4, rows 1, first_position 17}  base
//   who   A    A    A    A     base  B         {row_begin 5, rows 1, first_position 9}   B
//
//   segments: [0, 4) -> A   [5, 6) -> B        (row 4 is in no segment)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "server/core/adapter_residency.h"
#include "server/core/sampling_params.h"

namespace lamella {

// Half-open range of rows that use the same adapter.
struct LoraSegment {
  int32_t row_begin = 0;
  int32_t row_end = 0;
  const AdapterWeights* weights = nullptr;  // non-null; a pin held by the engine outlives the step
};

// The rows of one sequence in this step: consecutive positions, ascending.
struct SequenceRows {
  int32_t row_begin = 0;
  int32_t row_count = 0;
  int32_t first_position = 0;  // position of the first of these rows in its sequence
  // int32 [ceil((first_position + row_count) / block_tokens)] at least; valid until Wait returns.
  std::span<const int32_t> block_table;

  // If set, the logits of the last of these rows are computed and a token is sampled from them.
  bool sample = false;
  const SamplingParams* sampling = nullptr;  // non-null if `sample`; valid until Wait returns
  int32_t choice_index = 0;
  int32_t sample_position = 0;  // number of generated tokens so far: part of the generator's key

  // The whole sequence so far, prompt and answer; the rows' own tokens are in it. Valid until Wait.
  std::span<const int32_t> tokens;  // int32 [first_position + row_count or more]
  int32_t prompt_tokens = 0;        // of those
  // Never sampled in this step: min_tokens is not reached yet. Valid until Wait.
  std::span<const int32_t> banned_token_ids;

  int32_t logprobs = -1;  // of the sampled token: that many alternatives; -1: none
  // -1, or: each of these rows whose next token is in the prompt also tells of that token.
  int32_t prompt_logprobs = -1;
};

struct StepInput {
  std::vector<int32_t> token_ids;       // int32 [rows]
  std::vector<SequenceRows> sequences;  // sorted by row_begin; they cover every row once
  std::vector<LoraSegment> segments;    // sorted by row_begin, disjoint
  bool want_logits = false;  // also return the logits of every sampled row (tests, evaluation)

  int32_t rows() const { return static_cast<int32_t>(token_ids.size()); }
  // Keeps capacity, so that steady decode allocates nothing.
  void Clear() {
    token_ids.clear();
    sequences.clear();
    segments.clear();
    want_logits = false;
  }
};

struct SampledToken {
  int32_t sequence_index = 0;  // into StepInput::sequences
  int32_t token_id = -1;
  bool finite = true;  // false: this row's logits held NaN or infinity; token_id means nothing
};

struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0.0f;  // natural logarithm; of the model's own distribution

  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

// What is told of one token: a generated one or one of a prompt.
struct LogprobRow {
  int32_t sequence_index = 0;  // into StepInput::sequences
  int32_t position = 0;        // of the token in its sequence
  TokenLogprob token;
  int32_t top_begin = 0;  // its alternatives are StepOutput::top_logprobs[top_begin, top_end),
  int32_t top_end = 0;    // likeliest first, lower ids first among equals
};

struct StepOutput {
  std::vector<SampledToken> sampled;  // one for each sequence with `sample`, in order
  std::vector<LogprobRow> logprobs;  // sorted by sequence_index, then by position; finite rows only
  std::vector<TokenLogprob> top_logprobs;
  std::vector<float> logits;  // float [sampled.size()][vocab_size] if want_logits, else empty

  void Clear() {
    sampled.clear();
    logprobs.clear();
    top_logprobs.clear();
    logits.clear();
  }
};

}  // namespace lamella
