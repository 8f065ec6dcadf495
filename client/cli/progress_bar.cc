#include "client/cli/progress_bar.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace lamella::cli {
namespace {

constexpr int kBarWidth = 30;
constexpr absl::Duration kBarInterval = absl::Milliseconds(100);
constexpr absl::Duration kLineInterval = absl::Seconds(2);

}  // namespace

std::string FormatBytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < std::size(kUnits)) {
    bytes /= 1000;
    ++unit;
  }
  return absl::StrFormat(unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
}

std::string ProgressBar::Describe(const std::string& phase, uint64_t bytes, uint64_t total_bytes,
                                  absl::Time now) const {
  const double done = static_cast<double>(bytes);
  const double total = static_cast<double>(std::max<uint64_t>(total_bytes, 1));
  const double seconds = absl::ToDoubleSeconds(now - begin_);
  std::string text = absl::StrFormat("%s %3.0f%% %s of %s", phase, 100 * done / total,
                                     FormatBytes(done), FormatBytes(total));
  if (seconds > 0 && bytes > 0) {
    const double rate = done / seconds;
    absl::StrAppendFormat(&text, ", %s/s", FormatBytes(rate));
    if (bytes < total_bytes) {
      absl::StrAppendFormat(&text, ", %.0f s left", std::ceil((total - done) / rate));
    }
  }
  return text;
}

void ProgressBar::Update(const std::string& phase, uint64_t bytes, uint64_t total_bytes,
                         absl::Time now) {
  if (style_ == ProgressStyle::kNone) return;
  const absl::Duration interval = style_ == ProgressStyle::kBar ? kBarInterval : kLineInterval;
  if (phase == phase_ && now < drawn_ + interval) return;
  phase_ = phase;
  drawn_ = now;
  const std::string text = Describe(phase, bytes, total_bytes, now);
  if (style_ == ProgressStyle::kLines) {
    *out_ << text << "\n" << std::flush;
    return;
  }
  const double share =
      static_cast<double>(bytes) / static_cast<double>(std::max<uint64_t>(total_bytes, 1));
  const int full = std::clamp(static_cast<int>(share * kBarWidth), 0, kBarWidth);
  // Erases what is left of a longer line before.
  *out_ << "\r[" << std::string(static_cast<size_t>(full), '#')
        << std::string(static_cast<size_t>(kBarWidth - full), ' ') << "] " << text << "\x1b[K"
        << std::flush;
  open_ = true;
}

void ProgressBar::Close() {
  if (open_) *out_ << "\n" << std::flush;
  open_ = false;
}

}  // namespace lamella::cli
