// Finds stop strings in text that arrives in pieces, and holds back what could still become one, so
// that no part of a match is ever shown. Where pieces begin and end changes nothing: the match
// that ends first wins, of those that end together the longest. Knows no tokens. Not thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lamella {

class StopStrings {
 public:
  // `strings` are not empty. `include_match`: the match stays in the text.
  StopStrings(std::vector<std::string> strings, bool include_match);

  // Appends to `shown` what of the text so far can be shown. On a match, the text ends there: the
  // index of the string that matched is returned, and what follows it is dropped.
  std::optional<size_t> Feed(std::string_view text, std::string* shown);

  // The same, but a match that ends in `text` is none. One that ends later may begin here.
  void Pass(std::string_view text, std::string* shown);

  // The text ended without a match: shows what was held back.
  void Flush(std::string* shown);

  bool holding() const { return !held_.empty(); }
  const std::string& string(size_t index) const { return strings_[index]; }

 private:
  std::optional<size_t> MatchThatEndsAt(size_t end) const;
  size_t LengthToHold() const;
  void ShowWhatCannotMatch(std::string* shown);

  const std::vector<std::string> strings_;
  const bool include_match_;
  size_t longest_ = 0;
  std::string held_;  // not shown yet: the longest end of the text that begins a stop string
};

}  // namespace lamella
