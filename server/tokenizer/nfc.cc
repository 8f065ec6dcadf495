#include "server/tokenizer/nfc.h"

#include <utf8proc.h>

#include <algorithm>

#include "server/tokenizer/utf8.h"

namespace lamella {
namespace {

// Every code point below is a starter, is composed already and composes with nothing before it.
constexpr char32_t kFirstInteresting = 0x300;

int CombiningClass(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// True if NFC of what precedes `c` cannot depend on `c` and what follows, nor the reverse: `c` is a
// starter and neither a mark nor a trailing Hangul letter, which may compose with what precedes.
bool StartsSegment(char32_t c) {
  if (c < kFirstInteresting) return true;
  const auto code_point = static_cast<utf8proc_int32_t>(c);
  if (CombiningClass(code_point) != 0 || (c >= 0x1160 && c <= 0x11FF)) return false;
  const utf8proc_category_t category = utf8proc_category(code_point);
  return category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC &&
         category != UTF8PROC_CATEGORY_ME;
}

void Decompose(std::string_view segment, std::vector<utf8proc_int32_t>* out) {
  size_t pos = 0;
  while (pos < segment.size()) {
    const auto c = static_cast<utf8proc_int32_t>(utf8::Next(segment, &pos));
    utf8proc_int32_t parts[8];  // the longest canonical decomposition has 4
    int boundclass = UTF8PROC_BOUNDCLASS_START;
    const auto count = utf8proc_decompose_char(
        c, parts, 8, static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE),
        &boundclass);
    out->insert(out->end(), parts, parts + std::clamp<utf8proc_ssize_t>(count, 0, 8));
  }
}

// Canonical ordering: marks between starters, by class, stable.
void Order(std::vector<utf8proc_int32_t>* text) {
  auto it = text->begin();
  while (it != text->end()) {
    if (CombiningClass(*it) == 0) {
      ++it;
      continue;
    }
    const auto end = std::find_if(it, text->end(), [](auto c) { return CombiningClass(c) == 0; });
    std::stable_sort(it, end, [](auto a, auto b) { return CombiningClass(a) < CombiningClass(b); });
    it = end;
  }
}

std::string NormalizeSegment(std::string_view segment) {
  std::vector<utf8proc_int32_t> text;
  Decompose(segment, &text);
  Order(&text);
  const utf8proc_ssize_t length =
      utf8proc_normalize_utf32(text.data(), static_cast<utf8proc_ssize_t>(text.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  std::string out;
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    utf8::Append(static_cast<char32_t>(text[static_cast<size_t>(i)]), &out);
  }
  return out;
}

bool NothingToDo(std::string_view text) {
  // Bytes from 0xCC lead U+0300 and above.
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0xCC; });
}

}  // namespace

AlignedText ToNfc(AlignedText in) {
  if (NothingToDo(in.text)) return in;
  AlignedText out;
  out.text.reserve(in.text.size());
  size_t begin = 0;
  while (begin < in.text.size()) {
    size_t end = begin;
    utf8::Next(in.text, &end);
    while (end < in.text.size()) {
      size_t next = end;
      if (StartsSegment(utf8::Next(in.text, &next))) break;
      end = next;
    }
    const TextRange segment{begin, end};
    const std::string normal = NormalizeSegment(segment.Of(in.text));
    if (normal == segment.Of(in.text)) {
      out.Copy(in, segment);
    } else {
      out.Append(normal, in, segment);
    }
    begin = end;
  }
  return out;
}

}  // namespace lamella
