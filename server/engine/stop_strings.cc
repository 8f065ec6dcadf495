#include "server/engine/stop_strings.h"

#include <algorithm>
#include <utility>

namespace lamella {

StopStrings::StopStrings(std::vector<std::string> strings, bool include_match)
    : strings_(std::move(strings)), include_match_(include_match) {
  for (const std::string& string : strings_) longest_ = std::max(longest_, string.size());
}

std::optional<size_t> StopStrings::Feed(std::string_view text, std::string* shown) {
  if (strings_.empty()) {
    shown->append(text);
    return std::nullopt;
  }
  const size_t unseen = held_.size();
  held_.append(text);
  for (size_t end = unseen + 1; end <= held_.size(); ++end) {
    const std::optional<size_t> match = MatchThatEndsAt(end);
    if (!match.has_value()) continue;
    shown->append(held_, 0, include_match_ ? end : end - strings_[*match].size());
    held_.clear();
    return match;
  }
  ShowWhatCannotMatch(shown);
  return std::nullopt;
}

void StopStrings::Pass(std::string_view text, std::string* shown) {
  held_.append(text);
  ShowWhatCannotMatch(shown);
}

void StopStrings::Flush(std::string* shown) {
  shown->append(held_);
  held_.clear();
}

std::optional<size_t> StopStrings::MatchThatEndsAt(size_t end) const {
  const std::string_view text = std::string_view(held_).substr(0, end);
  std::optional<size_t> best;
  for (size_t i = 0; i < strings_.size(); ++i) {
    if (!text.ends_with(strings_[i])) continue;
    if (!best.has_value() || strings_[i].size() > strings_[*best].size()) best = i;
  }
  return best;
}

void StopStrings::ShowWhatCannotMatch(std::string* shown) {
  const size_t show = held_.size() - LengthToHold();
  shown->append(held_, 0, show);
  held_.erase(0, show);
}

size_t StopStrings::LengthToHold() const {
  if (strings_.empty()) return 0;
  for (size_t length = std::min(held_.size(), longest_ - 1); length > 0; --length) {
    const std::string_view end = std::string_view(held_).substr(held_.size() - length);
    for (const std::string& string : strings_) {
      if (string.size() > length && string.starts_with(end)) return length;
    }
  }
  return 0;
}

}  // namespace lamella
