#include "server/tokenizer/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "server/tokenizer/utf8.h"

namespace lamella {
namespace {

bool IsBlank(char32_t c) {
  if (c == ' ' || (c >= 0x09 && c <= 0x0D) || c == 0x85) return true;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

size_t SkipBlanks(std::string_view text, size_t pos) {
  while (pos < text.size()) {
    size_t next = pos;
    if (!IsBlank(utf8::Next(text, &next))) break;
    pos = next;
  }
  return pos;
}

size_t SkipBlanksBackwards(std::string_view text, size_t pos, size_t stop) {
  while (pos > stop) {
    size_t begin = pos - 1;
    while (begin > stop && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    size_t next = begin;
    if (!IsBlank(utf8::Next(text, &next))) break;
    pos = begin;
  }
  return pos;
}

}  // namespace

int32_t AddedTokens::Child(int32_t node, char byte) const {
  for (const auto& [label, child] : nodes_[static_cast<size_t>(node)].children) {
    if (label == byte) return child;
  }
  return -1;
}

void AddedTokens::Add(std::string_view content, const AddedToken& token) {
  const auto new_node = [&] {
    nodes_.emplace_back();
    return static_cast<int32_t>(nodes_.size() - 1);
  };
  int32_t& root = roots_[static_cast<unsigned char>(content[0])];
  if (root < 0) root = new_node();
  int32_t node = root;
  for (const char byte : content.substr(1)) {
    int32_t child = Child(node, byte);
    if (child < 0) {
      child = new_node();
      nodes_[static_cast<size_t>(node)].children.emplace_back(byte, child);
    }
    node = child;
  }
  int32_t& slot = nodes_[static_cast<size_t>(node)].token;
  if (slot >= 0) return;
  slot = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
}

AddedTokens::Match AddedTokens::LongestAt(std::string_view text, size_t pos,
                                          bool parse_special) const {
  Match longest;
  int32_t node = roots_[static_cast<unsigned char>(text[pos])];
  while (node >= 0) {
    ++pos;
    const int32_t index = nodes_[static_cast<size_t>(node)].token;
    if (index >= 0) {
      const AddedToken& token = tokens_[static_cast<size_t>(index)];
      if (parse_special || !token.special) longest = {pos, &token};
    }
    node = pos < text.size() ? Child(node, text[pos]) : -1;
  }
  return longest;
}

std::vector<TextSection> AddedTokens::Split(std::string_view text, bool parse_special) const {
  std::vector<TextSection> sections;
  size_t done = 0;
  size_t pos = 0;
  while (pos < text.size()) {
    const Match match = LongestAt(text, pos, parse_special);
    if (match.token == nullptr) {
      ++pos;
      continue;
    }
    const size_t begin = match.token->strip_left ? SkipBlanksBackwards(text, pos, done) : pos;
    const size_t end = match.token->strip_right ? SkipBlanks(text, match.end) : match.end;
    if (done < begin) sections.push_back({{done, begin}, -1});
    sections.push_back({{begin, end}, match.token->id});
    pos = done = end;
  }
  if (done < text.size()) sections.push_back({{done, text.size()}, -1});
  return sections;
}

}  // namespace lamella
