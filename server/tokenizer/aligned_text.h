// A text on its way through a tokenizer, and where each of its bytes came from in the caller's
// text. A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/tokenizer/tokenizer.h"

namespace lamella {

// Half-open range of bytes.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;

  std::string_view Of(std::string_view text) const { return text.substr(begin, end - begin); }
};

struct AlignedText {
  std::string text;
  int32_t base = 0;  // where `text` begins in the caller's text, while nothing has changed it
  std::vector<Encoding::Range> source;  // [text.size()], or empty: byte i came from base + i

  // What of the caller's text the bytes [range.begin, range.end) came from.
  Encoding::Range Source(TextRange range) const {
    if (range.begin == range.end) return {};
    if (source.empty()) {
      return {base + static_cast<int32_t>(range.begin), base + static_cast<int32_t>(range.end)};
    }
    return {source[range.begin].begin, source[range.end - 1].end};
  }

  // Appends `with`, which stands for `range` of `from`.
  void Append(std::string_view with, const AlignedText& from, TextRange range) {
    text += with;
    source.insert(source.end(), with.size(), from.Source(range));
  }
  // Appends `range` of `from` as it is.
  void Copy(const AlignedText& from, TextRange range) {
    text += range.Of(from.text);
    for (size_t i = range.begin; i < range.end; ++i) source.push_back(from.Source({i, i + 1}));
  }
};

}  // namespace lamella
