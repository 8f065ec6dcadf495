// From pieces back to text, as the decoder part of a tokenizer's file says. One PieceDecoder is the
// state of one text; it belongs to one owner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/tokenizer/utf8.h"

namespace lamella {

struct DecoderOptions {
  // Pieces spell bytes in byte_alphabet. Nothing below applies then.
  bool byte_level = false;
  std::vector<std::pair<std::string, std::string>> replacements;  // in each piece, in order
  bool byte_fallback = false;                                     // "<0xE2>" is a byte
  std::string strip;           // one character that is taken from the start of the text ...
  int32_t strip_at_start = 0;  // ... up to so many times
};

class PieceDecoder {
 public:
  // `options` is borrowed and outlives this.
  explicit PieceDecoder(const DecoderOptions* options)
      : options_(options), strips_left_(options->strip_at_start) {}

  void Append(std::string_view piece, std::string* out);
  void Finish(std::string* out);

 private:
  // The reference judges a run of byte pieces as a whole: it is text if all of it is UTF-8, and
  // U+FFFD for each byte if not. So a run waits for its end.
  void EndByteRun(std::string* out);
  void Emit(std::string_view text, std::string* out);

  const DecoderOptions* options_;
  int32_t strips_left_;
  utf8::LossyStream bytes_;  // byte_level
  std::string byte_run_;     // byte_fallback
};

}  // namespace lamella
