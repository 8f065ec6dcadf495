#include "server/tokenizer/incremental_decoder.h"

#include <span>

namespace lamella {

IncrementalDecoder::IncrementalDecoder(const Tokenizer* tokenizer, bool skip_special_tokens)
    : tokenizer_(tokenizer),
      skip_special_tokens_(skip_special_tokens),
      session_(tokenizer->NewDecodeSession(skip_special_tokens)) {}

std::string IncrementalDecoder::Append(int32_t id) {
  if (session_ != nullptr) return session_->Append(id);
  return tokenizer_->Decode(std::span<const int32_t>(&id, 1), skip_special_tokens_);
}

std::string IncrementalDecoder::Flush() {
  return session_ != nullptr ? session_->Flush() : std::string();
}

}  // namespace lamella
