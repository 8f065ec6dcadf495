// One choice of an answer as it grows: tokens in, whole UTF-8 text out, and the rules that end it.
// Pure bookkeeping of one sequence; knows no steps and no streams. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
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
  // (which is not part of the text), a stop string, the length.
  std::optional<ChoiceEnd> Append(int32_t token_id);

  // What can be shown and was not taken yet: text, and the tokens it came from. While text is held
  // back, its tokens are too. After the end: all that is left.
  const std::string& new_text() const { return text_; }
  const std::vector<int32_t>& new_token_ids() const { return token_ids_; }
  void TakeNews();

 private:
  bool IsStopToken(int32_t token_id) const;
  std::optional<ChoiceEnd> Show(std::string_view text);
  void Release();

  const Tokenizer* const tokenizer_;
  const std::vector<int32_t> stop_token_ids_;
  const bool ignore_eos_;
  const int32_t max_tokens_;
  IncrementalDecoder decoder_;
  StopStrings stops_;
  int32_t generated_ = 0;
  std::string text_;
  std::vector<int32_t> token_ids_;
  std::vector<int32_t> held_token_ids_;
};

}  // namespace lamella
