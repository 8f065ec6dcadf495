// The pieces of a tokenizer by id and the ids of its pieces. Filled once, then only read; const
// methods are thread-safe. It knows nothing of merges or of how text is cut.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lamella {

class Vocabulary {
 public:
  // An id is an index: a file may not make us allocate much more than it holds.
  static constexpr int32_t kMaxId = (1 << 24) - 1;

  // `total_bytes` and `count` are upper bounds of what will be added.
  Vocabulary(size_t total_bytes, size_t count);

  // A piece that text can be cut into. INVALID_ARGUMENT if the id is out of range or taken, or the
  // piece is there already.
  absl::Status Add(std::string_view piece, int32_t id);

  // An added token: it has a spelling, but merges never see it unless Add gave it too. A token with
  // the same spelling and id is the same; INVALID_ARGUMENT if the id has another spelling.
  absl::Status AddToken(std::string_view content, int32_t id, bool special);

  int32_t size() const { return static_cast<int32_t>(pieces_.size()); }
  // Empty if there is no such id.
  std::string_view Piece(int32_t id) const;
  bool Has(int32_t id) const;
  bool IsSpecial(int32_t id) const;
  // Of Add's pieces only; -1 if there is none.
  int32_t Find(std::string_view piece) const;
  size_t max_piece_bytes() const { return max_piece_bytes_; }

 private:
  struct Span {
    uint32_t begin = 0;
    uint32_t size = 0;
  };
  enum Flag : uint8_t { kPresent = 1, kSpecial = 2 };

  absl::Status Store(std::string_view piece, int32_t id);

  std::vector<char> arena_;                                // never grows past its first capacity
  std::vector<Span> pieces_;                               // [id]
  std::vector<uint8_t> flags_;                             // [id]
  absl::flat_hash_map<absl::string_view, int32_t> index_;  // keys point into arena_
  size_t max_piece_bytes_ = 0;
};

}  // namespace lamella
