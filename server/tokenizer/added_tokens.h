// Tokens that are matched whole in a text before anything else looks at it: special ones, on
// request only, and others always. Leftmost match, longest first, in time linear in the text (times
// the longest token). Filled once, then const and thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "server/tokenizer/aligned_text.h"

namespace lamella {

struct AddedToken {
  int32_t id = -1;
  bool special = false;
  bool strip_left = false;   // takes the blanks before it along
  bool strip_right = false;  // takes the blanks behind it along
};

// A part of a text: an added token, or (id -1) plain text.
struct TextSection {
  TextRange range;
  int32_t id = -1;
};

class AddedTokens {
 public:
  AddedTokens() { roots_.fill(-1); }

  // `content` is not empty; of two tokens with the same content the first one stays.
  void Add(std::string_view content, const AddedToken& token);
  bool empty() const { return tokens_.empty(); }

  // Cuts `text` whole into sections, in order, none of them empty.
  std::vector<TextSection> Split(std::string_view text, bool parse_special) const;

 private:
  struct Node {
    int32_t token = -1;                              // index into tokens_
    std::vector<std::pair<char, int32_t>> children;  // few: searched one by one
  };
  struct Match {
    size_t end = 0;
    const AddedToken* token = nullptr;
  };

  int32_t Child(int32_t node, char byte) const;
  Match LongestAt(std::string_view text, size_t pos, bool parse_special) const;

  std::array<int32_t, 256> roots_;  // node of a first byte, or -1
  std::vector<Node> nodes_;
  std::vector<AddedToken> tokens_;
};

}  // namespace lamella
