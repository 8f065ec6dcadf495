// One choice of an answer as it grows: tokens in, whole UTF-8 text out, and the rules that end it.
// Pure bookkeeping of one sequence; knows no steps and no streams. Not thread-safe.
//
// The first min_tokens tokens are no stop tokens: whoever draws them asks banned_token_ids() first.
// A stop string ends the answer if the token that completes it is number min_tokens or a later one;
// it may begin before.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/request.h"
#include "server/core/sampling_params.h"
#include "server/engine/stop_strings.h"
#include "server/engine/token_stream.h"
#include "server/tokenizer/incremental_decoder.h"
#include "server/tokenizer/tokenizer.h"

namespace lamella {

class Answer {
 public:
  // `max_tokens` is what fits, stop.max_tokens at most. The tokenizer outlives the answer.
  Answer(const Tokenizer* tokenizer, StopParams stop, int32_t max_tokens);

  // Takes the next token; the end, if this token ends the answer. In this order: a stop token
  // (which is not part of the text), a stop string, the length. A stop token that comes too early is
  // a token like others. `logprobs`: for all tokens of an answer or for none.
  std::optional<ChoiceEnd> Append(int32_t token_id,
                                  std::optional<TokenLogprobs> logprobs = std::nullopt);

  // What the next token must not be: every stop token until min_tokens are there, then nothing.
  // Ascending; valid until the answer is moved.
  std::span<const int32_t> banned_token_ids() const;

  // What can be shown and was not taken yet: text, the tokens it came from, and what is told of
  // each of them if anything is. While text is held back, its tokens are too. After the end: all
  // that is left.
  const std::string& new_text() const { return text_; }
  const std::vector<int32_t>& new_token_ids() const { return token_ids_; }
  const std::vector<TokenLogprobs>& new_logprobs() const { return logprobs_; }
  void TakeNews();

 private:
  bool IsStopToken(int32_t token_id) const;
  std::optional<ChoiceEnd> Show(std::string_view text);
  void Release();

  const std::vector<int32_t> stop_token_ids_;  // ascending; the model's own too unless ignored
  const int32_t min_tokens_;
  const int32_t max_tokens_;
  IncrementalDecoder decoder_;
  StopStrings stops_;
  int32_t generated_ = 0;
  std::string text_;
  std::vector<int32_t> token_ids_;
  std::vector<TokenLogprobs> logprobs_;
  std::vector<int32_t> held_token_ids_;
  std::vector<TokenLogprobs> held_logprobs_;
};

}  // namespace lamella
