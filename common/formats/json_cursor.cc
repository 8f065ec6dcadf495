#include "common/formats/json_cursor.h"

#include <algorithm>

namespace lamella {
namespace {

constexpr size_t kMaxDigits = 18;  // whatever they are, they fit into an int64
constexpr size_t kNowhere = std::string_view::npos;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<std::string_view> JsonCursor::PlainString() {
  SkipSpace();
  if (AtEnd() || text_[at_] != '"') return std::nullopt;
  size_t end = at_ + 1;
  while (end < text_.size() && text_[end] != '"') {
    const char c = text_[end++];
    if (c < ' ' || c > '~' || c == '\\') return std::nullopt;
  }
  if (end == text_.size()) return std::nullopt;
  const std::string_view content = text_.substr(at_ + 1, end - at_ - 1);
  at_ = end + 1;
  return content;
}

std::optional<int64_t> JsonCursor::PlainInt() {
  SkipSpace();
  size_t end = at_;
  int64_t value = 0;
  while (end < text_.size() && end - at_ < kMaxDigits && IsDigit(text_[end])) {
    value = value * 10 + (text_[end++] - '0');
  }
  const bool needless_zero = end - at_ > 1 && text_[at_] == '0';
  if (end == at_ || needless_zero || (end < text_.size() && IsDigit(text_[end]))) {
    return std::nullopt;
  }
  at_ = end;
  return value;
}

std::optional<std::string_view> JsonCursor::Value() {
  SkipSpace();
  if (AtEnd()) return std::nullopt;
  size_t end;
  if (text_[at_] == '"') {
    end = StringEnd(at_);
  } else if (text_[at_] == '{' || text_[at_] == '[') {
    end = BracketEnd(at_);
  } else {
    end = std::min(text_.find_first_of(",:]} \t\n\r", at_), text_.size());
  }
  if (end == kNowhere || end == at_) return std::nullopt;
  const std::string_view value = text_.substr(at_, end - at_);
  at_ = end;
  return value;
}

size_t JsonCursor::StringEnd(size_t at) const {
  for (++at; at < text_.size(); ++at) {
    if (text_[at] == '"') return at + 1;
    if (text_[at] == '\\') ++at;
  }
  return kNowhere;
}

size_t JsonCursor::BracketEnd(size_t at) const {
  size_t depth = 0;
  while (at < text_.size()) {
    const char c = text_[at];
    if (c == '"') {
      at = StringEnd(at);
      continue;
    }
    ++at;
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return at;
  }
  return kNowhere;
}

}  // namespace lamella
