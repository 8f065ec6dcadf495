// Walks over JSON in place where it is plain, without a tree: whoever meets what is not plain here
// hands Value's extent to ParseStrictJson, which decides. A value; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace lamella {

class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text, size_t at = 0) : text_(text), at_(at) {}

  size_t at() const { return at_; }
  bool AtEnd() const { return at_ == text_.size(); }
  void SkipSpace() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }
  // True if `mark` is next, behind space, and passed.
  bool Take(char mark) {
    SkipSpace();
    if (AtEnd() || text_[at_] != mark) return false;
    ++at_;
    return true;
  }

  // What is between the quotes of a string that spells itself: printable ASCII, no escapes.
  // Nothing, and nowhere else, if there is none.
  std::optional<std::string_view> PlainString();
  // Up to 18 digits without a sign or a needless zero. What follows them is not looked at.
  std::optional<int64_t> PlainInt();
  // The text of the next value, whether valid or not: a string to its closing quote, an array or an
  // object to the bracket that closes it, anything else to a comma, a bracket or space. Where the
  // value is valid JSON, its whole text. Nothing if it is empty or does not end.
  std::optional<std::string_view> Value();

 private:
  static bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
  // Behind the string that begins at `at`; npos if it does not end.
  size_t StringEnd(size_t at) const;
  size_t BracketEnd(size_t at) const;

  std::string_view text_;
  size_t at_;
};

}  // namespace lamella
