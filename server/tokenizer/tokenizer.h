// Text to token ids and back. Immutable after construction: every method is const and thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace lamella {

struct EncodeOptions {
  bool add_special_tokens = true;  // BOS and whatever the post-processor adds
  bool parse_special_tokens =
      false;  // "<|im_end|>" in the text becomes that token, not its letters
};

struct Encoding {
  std::vector<int32_t> ids;
  // Byte range of the input that each id came from; {0, 0} for added special tokens.
  struct Range {
    int32_t begin = 0;
    int32_t end = 0;
  };
  std::vector<Range> offsets;
};

// The text of a list of ids that grows. Belongs to one owner; what it came from outlives it.
class DecodeSession {
 public:
  virtual ~DecodeSession() = default;

  // What `id` adds to the text: whole characters only, and never text that a later id would change.
  // What must wait for its successors comes with them.
  virtual std::string Append(int32_t id) = 0;
  // What still waits; nothing follows afterwards. All answers together equal Tokenizer::Decode.
  virtual std::string Flush() = 0;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // INVALID_ARGUMENT (INVALID_UTF8) with the byte offset if `text` is not UTF-8.
  virtual absl::StatusOr<Encoding> Encode(std::string_view text,
                                          const EncodeOptions& options) const = 0;

  // Whole text of `ids`, with malformed UTF-8 replaced by U+FFFD as the reference tokenizers do.
  // Ids outside the vocabulary are skipped.
  virtual std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens) const = 0;

  // As Decode, id by id. Null if the text of a list is that of its ids one after the other, so that
  // no state is needed; callers use IncrementalDecoder, which knows both cases.
  virtual std::unique_ptr<DecodeSession> NewDecodeSession(bool /*skip_special_tokens*/) const {
    return nullptr;
  }

  // The vocabulary's own spelling of one id, such as "Ġthe" or "▁the"; empty if there is no such
  // id.
  virtual std::string_view Piece(int32_t id) const = 0;

  virtual bool IsSpecial(int32_t id) const = 0;
  virtual int32_t vocab_size() const = 0;
  virtual const std::vector<int32_t>& eos_token_ids() const = 0;  // may be empty
  virtual int32_t bos_token_id() const = 0;                       // -1 if there is none
};

}  // namespace lamella
