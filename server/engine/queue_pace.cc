#include "server/engine/queue_pace.h"

#include <algorithm>
#include <cmath>

namespace lamella {
namespace {

constexpr absl::Duration kFirstGuess = absl::Seconds(1);
constexpr double kSmoothing = 0.2;  // weight of the newest interval
// Departures of one step follow each other within microseconds.
constexpr absl::Duration kOneStep = absl::Milliseconds(1);
constexpr double kMemorySeconds = 10;

}  // namespace

void QueuePace::OnLeave(int64_t tokens, absl::Time now, bool others_ready) {
  const absl::Duration interval = now - moved_;
  moved_ = now;
  if (interval_ == absl::InfiniteDuration()) {
    interval_ = interval;
  } else {
    interval_ += kSmoothing * (interval - interval_);
  }

  if (now - group_begin_ >= kOneStep) {
    if (left_behind_) {
      const double seconds = absl::ToDoubleSeconds(now - group_begin_);
      const double kept = std::exp(-seconds / kMemorySeconds);
      tokens_ = tokens_ * kept + static_cast<double>(group_tokens_);
      seconds_ = seconds_ * kept + seconds;
    }
    group_begin_ = now;
    group_tokens_ = 0;
  }
  group_tokens_ += tokens;
  left_behind_ = others_ready;
}

absl::Duration QueuePace::NextDeparture(absl::Time now) const {
  const absl::Duration interval = interval_ == absl::InfiniteDuration() ? kFirstGuess : interval_;
  return std::max(interval, now - moved_);
}

std::optional<double> QueuePace::TokensPerSecond() const {
  if (seconds_ <= 0 || tokens_ <= 0) return std::nullopt;
  return tokens_ / seconds_;
}

}  // namespace lamella
