#include "server/tokenizer/piece_decoder.h"

#include <optional>

#include "server/tokenizer/byte_alphabet.h"

namespace lamella {
namespace {

std::optional<unsigned> HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  return std::nullopt;
}

// The byte of a piece like "<0xE2>".
std::optional<char> ByteOfPiece(std::string_view piece) {
  if (piece.size() != 6 || piece.substr(0, 3) != "<0x" || piece[5] != '>') return std::nullopt;
  const auto high = HexDigit(piece[3]);
  const auto low = HexDigit(piece[4]);
  if (!high.has_value() || !low.has_value()) return std::nullopt;
  return static_cast<char>(*high << 4 | *low);
}

void ReplaceAll(std::string_view what, std::string_view with, std::string* text) {
  for (size_t at = text->find(what); at != std::string::npos;
       at = text->find(what, at + with.size())) {
    text->replace(at, what.size(), with);
  }
}

}  // namespace

void PieceDecoder::Emit(std::string_view text, std::string* out) {
  const std::string& strip = options_->strip;
  while (strips_left_ > 0 && !text.empty()) {
    if (text.substr(0, strip.size()) != strip) {
      strips_left_ = 0;
      break;
    }
    text.remove_prefix(strip.size());
    --strips_left_;
  }
  *out += text;
}

void PieceDecoder::EndByteRun(std::string* out) {
  if (byte_run_.empty()) return;
  if (utf8::FindInvalid(byte_run_).has_value()) {
    for (size_t i = 0; i < byte_run_.size(); ++i) Emit(utf8::kReplacement, out);
  } else {
    Emit(byte_run_, out);
  }
  byte_run_.clear();
}

void PieceDecoder::Append(std::string_view piece, std::string* out) {
  std::string text;
  if (options_->byte_level) {
    byte_alphabet::AppendBytes(piece, &text);
    bytes_.Append(text, out);
    return;
  }
  text = piece;
  for (const auto& [what, with] : options_->replacements) ReplaceAll(what, with, &text);
  if (options_->byte_fallback) {
    if (const auto byte = ByteOfPiece(text); byte.has_value()) {
      byte_run_.push_back(*byte);
      return;
    }
    EndByteRun(out);
  }
  Emit(text, out);
}

void PieceDecoder::Finish(std::string* out) {
  bytes_.Finish(out);
  EndByteRun(out);
}

}  // namespace lamella
