// Reads a Hugging Face tokenizer.json in one pass: its two huge parts, model.vocab and
// model.merges, into flat arrays, everything else into a JsonValue. Strict like ParseStrictJson. It
// knows where things stand, not what they mean.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/formats/json.h"

namespace lamella {

struct TokenizerJsonData {
  struct Piece {
    uint32_t begin = 0;  // in vocab_bytes
    uint32_t size = 0;
    int64_t id = 0;
  };
  struct Merge {
    uint32_t begin = 0;  // in merge_bytes: left, then right
    uint32_t left_size = 0;
    uint32_t right_size = 0;
  };

  JsonValue document;  // without model.vocab (if it is an object) and model.merges (an array)
  std::string vocab_bytes;
  std::vector<Piece> vocab;
  std::string merge_bytes;
  std::vector<Merge> merges;

  std::string_view PieceOf(const Piece& piece) const {
    return std::string_view(vocab_bytes).substr(piece.begin, piece.size);
  }
  std::string_view LeftOf(const Merge& merge) const {
    return std::string_view(merge_bytes).substr(merge.begin, merge.left_size);
  }
  std::string_view RightOf(const Merge& merge) const {
    return std::string_view(merge_bytes).substr(merge.begin + merge.left_size, merge.right_size);
  }
};

// INVALID_ARGUMENT: MALFORMED_JSON (names the byte), DUPLICATE_KEY, LIMIT_EXCEEDED,
// INVALID_CONFIG_VALUE (a vocabulary entry that is no integer, a merge that is no pair). A piece
// that is there twice is for the caller to find, which indexes them anyway.
absl::StatusOr<TokenizerJsonData> ReadTokenizerJson(std::string_view json);

}  // namespace lamella
