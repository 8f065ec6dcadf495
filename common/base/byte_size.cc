#include "common/base/byte_size.h"

#include <cctype>
#include <limits>

namespace lamella {
namespace {

constexpr std::string_view kUnits = "KMGT";

// Shift of a suffix such as "", "B", "K", "Ki", "KiB", "mb"; nothing if there is no such suffix.
std::optional<int> SuffixShift(std::string_view suffix) {
  if (suffix.empty()) return 0;
  const size_t unit = kUnits.find(static_cast<char>(std::toupper(suffix.front())));
  if (unit != std::string_view::npos) suffix.remove_prefix(1);
  if (unit != std::string_view::npos && !suffix.empty() && suffix.front() == 'i') {
    suffix.remove_prefix(1);
  }
  if (!suffix.empty() && (suffix.front() == 'B' || suffix.front() == 'b')) suffix.remove_prefix(1);
  if (!suffix.empty()) return std::nullopt;
  return unit == std::string_view::npos ? 0 : 10 * (static_cast<int>(unit) + 1);
}

}  // namespace

std::optional<int64_t> ParseByteSize(std::string_view text) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  size_t digits = 0;
  int64_t value = 0;
  for (; digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])) != 0;
       ++digits) {
    const int64_t digit = text[digits] - '0';
    if (value > (kMax - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  const std::optional<int> shift = SuffixShift(text.substr(digits));
  if (digits == 0 || !shift.has_value() || value > (kMax >> *shift)) return std::nullopt;
  return value << *shift;
}

std::string FormatByteSize(int64_t bytes) {
  int unit = -1;
  while (unit + 1 < static_cast<int>(kUnits.size()) && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  if (unit < 0) return std::to_string(bytes);
  return std::to_string(bytes) + kUnits[static_cast<size_t>(unit)] + "iB";
}

}  // namespace lamella
