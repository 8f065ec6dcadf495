// Text deltas of a stream of ids: whole characters only, in constant amortised time an id. Movable;
// belongs to one owner (a sequence), which calls it from one thread; the tokenizer outlives it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/tokenizer/tokenizer.h"

namespace lamella {

class IncrementalDecoder {
 public:
  IncrementalDecoder(const Tokenizer* tokenizer, bool skip_special_tokens);

  // New text: never half a code point, never text that later ids change. Often empty.
  std::string Append(int32_t id);

  // The rest, with an unfinished character as U+FFFD. All deltas, joined, equal Decode of all ids.
  // Call it once, at the end.
  std::string Flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::unique_ptr<DecodeSession> session_;  // null: ids decode one by one
};

}  // namespace lamella
