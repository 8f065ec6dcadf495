#include "server/tokenizer/utf8.h"

#include <algorithm>
#include <cstdint>

namespace lamella::utf8 {
namespace {

uint8_t ByteAt(std::string_view text, size_t pos) { return static_cast<uint8_t>(text[pos]); }

struct Lead {
  size_t length = 0;  // 0: no sequence begins with this byte
  uint8_t second_min = 0x80;
  uint8_t second_max = 0xBF;
};

// Table 3-7 of the Unicode standard.
Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

}  // namespace

Sequence Classify(std::string_view text, size_t pos) {
  const Lead lead = LeadOf(ByteAt(text, pos));
  if (lead.length == 0) return {Sequence::Kind::kInvalid, 1};
  size_t have = 1;
  while (have < lead.length && pos + have < text.size()) {
    const uint8_t byte = ByteAt(text, pos + have);
    const uint8_t low = have == 1 ? lead.second_min : uint8_t{0x80};
    const uint8_t high = have == 1 ? lead.second_max : uint8_t{0xBF};
    if (byte < low || byte > high) return {Sequence::Kind::kInvalid, have};
    ++have;
  }
  if (have < lead.length) return {Sequence::Kind::kIncomplete, have};
  return {Sequence::Kind::kComplete, have};
}

std::optional<size_t> FindInvalid(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    if (ByteAt(text, pos) < 0x80) {
      ++pos;
      continue;
    }
    const Sequence sequence = Classify(text, pos);
    if (sequence.kind != Sequence::Kind::kComplete) return pos;
    pos += sequence.length;
  }
  return std::nullopt;
}

char32_t Next(std::string_view text, size_t* pos) {
  const uint8_t first = ByteAt(text, (*pos)++);
  if (first < 0x80) return first;
  const size_t more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  char32_t code_point = first & (0x3Fu >> more);
  for (size_t i = 0; i < more; ++i) code_point = code_point << 6 | (ByteAt(text, (*pos)++) & 0x3Fu);
  return code_point;
}

void Append(char32_t code_point, std::string* out) {
  const auto tail = [&](int shift) {
    out->push_back(static_cast<char>(0x80 | (code_point >> shift & 0x3F)));
  };
  if (code_point < 0x80) {
    out->push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out->push_back(static_cast<char>(0xC0 | code_point >> 6));
    tail(0);
  } else if (code_point < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | code_point >> 12));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xF0 | code_point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

void LossyStream::Append(std::string_view bytes, std::string* out) {
  pending_ += bytes;
  size_t pos = 0;
  while (pos < pending_.size()) {
    const Sequence sequence = Classify(pending_, pos);
    if (sequence.kind == Sequence::Kind::kIncomplete) break;
    if (sequence.kind == Sequence::Kind::kComplete) {
      out->append(pending_, pos, sequence.length);
    } else {
      *out += kReplacement;
    }
    pos += sequence.length;
  }
  pending_.erase(0, pos);
}

void LossyStream::Finish(std::string* out) {
  if (!pending_.empty()) *out += kReplacement;
  pending_.clear();
}

}  // namespace lamella::utf8
