#include "server/tokenizer/vocabulary.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/tokenizer/load_error.h"

namespace lamella {
namespace {

absl::string_view ToAbsl(std::string_view s) { return absl::string_view(s.data(), s.size()); }

}  // namespace

Vocabulary::Vocabulary(size_t total_bytes, size_t count) {
  arena_.reserve(total_bytes);
  pieces_.reserve(count);
  flags_.reserve(count);
  index_.reserve(count);
}

absl::Status Vocabulary::Store(std::string_view piece, int32_t id) {
  if (id < 0 || id > kMaxId) {
    return BadTokenizer("vocab", absl::StrCat("id ", id, " is not in [0, ", kMaxId, "]"));
  }
  if (Has(id)) return BadTokenizer("vocab", absl::StrCat("id ", id, " has two spellings"));
  if (arena_.size() + piece.size() > arena_.capacity()) {
    return absl::InternalError("tokenizer: more bytes of pieces than were announced");
  }
  const auto index = static_cast<size_t>(id);
  if (index >= pieces_.size()) {
    pieces_.resize(index + 1);
    flags_.resize(index + 1, 0);
  }
  pieces_[index] = {static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(piece.size())};
  flags_[index] = kPresent;
  arena_.insert(arena_.end(), piece.begin(), piece.end());
  return absl::OkStatus();
}

absl::Status Vocabulary::Add(std::string_view piece, int32_t id) {
  if (index_.contains(ToAbsl(piece))) {
    return BadTokenizer("vocab", absl::StrCat("the piece of id ", id, " is there twice"));
  }
  if (absl::Status status = Store(piece, id); !status.ok()) return status;
  index_.emplace(ToAbsl(Piece(id)), id);
  max_piece_bytes_ = std::max(max_piece_bytes_, piece.size());
  return absl::OkStatus();
}

absl::Status Vocabulary::AddToken(std::string_view content, int32_t id, bool special) {
  if (!Has(id)) {
    if (absl::Status status = Store(content, id); !status.ok()) return status;
  } else if (Piece(id) != content) {
    return BadTokenizer("added_tokens", absl::StrCat("id ", id, " has another spelling"));
  }
  if (special) flags_[static_cast<size_t>(id)] |= kSpecial;
  return absl::OkStatus();
}

std::string_view Vocabulary::Piece(int32_t id) const {
  if (!Has(id)) return {};
  const Span span = pieces_[static_cast<size_t>(id)];
  return {arena_.data() + span.begin, span.size};
}

bool Vocabulary::Has(int32_t id) const {
  return id >= 0 && id < size() && (flags_[static_cast<size_t>(id)] & kPresent) != 0;
}

bool Vocabulary::IsSpecial(int32_t id) const {
  return Has(id) && (flags_[static_cast<size_t>(id)] & kSpecial) != 0;
}

int32_t Vocabulary::Find(std::string_view piece) const {
  const auto it = index_.find(ToAbsl(piece));
  return it == index_.end() ? -1 : it->second;
}

}  // namespace lamella
