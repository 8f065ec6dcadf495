// UTF-8 as Unicode defines it (no overlong forms, no surrogates, at most U+10FFFF), over borrowed
// bytes. Free functions are pure; a LossyStream belongs to one owner.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lamella::utf8 {

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct Sequence {
  enum class Kind { kComplete, kIncomplete, kInvalid };
  Kind kind = Kind::kInvalid;
  // kComplete: 1-4 bytes of one code point. kIncomplete: all that is left, a valid beginning.
  // kInvalid: the maximal subpart, which one U+FFFD stands for (Unicode 15, section 3.9).
  size_t length = 0;
};

// What stands at text[pos]. Precondition: pos < text.size().
Sequence Classify(std::string_view text, size_t pos);

// Offset of the first byte that is not part of a well-formed sequence.
std::optional<size_t> FindInvalid(std::string_view text);

// The code point at `*pos`, which moves behind it. Precondition: text is well-formed.
char32_t Next(std::string_view text, size_t* pos);

void Append(char32_t code_point, std::string* out);

// Turns a stream of bytes into well-formed text: what is malformed becomes U+FFFD, and a code point
// that is cut by the end of an Append waits for the next one.
class LossyStream {
 public:
  void Append(std::string_view bytes, std::string* out);
  // What still waits is malformed now. The stream is as new afterwards.
  void Finish(std::string* out);

 private:
  std::string pending_;  // at most 3 bytes between calls
};

}  // namespace lamella::utf8
