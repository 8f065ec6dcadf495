// How fast a queue moves, measured by what leaves it. Time tells of the pace only while somebody
// waits who could have run: an idle hour, a request that is still being tokenized and one that waits
// for its adapter say nothing. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace lamella {

class QueuePace {
 public:
  // Somebody joined an empty queue.
  void OnBegin(absl::Time now) { moved_ = now; }
  // A request with a prompt of `tokens` left for its first step. `others_ready`: more could run.
  void OnLeave(int64_t tokens, absl::Time now, bool others_ready);
  // Nobody who could run waits any more.
  void OnNoneReady() { left_behind_ = false; }

  // Until one more request leaves, a guess before anything was measured. A queue that has stood
  // still for long will not move at once.
  absl::Duration NextDeparture(absl::Time now) const;
  // Prompt tokens per second that leave while more wait; unknown until a queue has built up.
  std::optional<double> TokensPerSecond() const;

 private:
  absl::Time moved_ = absl::InfinitePast();             // last departure, or OnBegin
  absl::Duration interval_ = absl::InfiniteDuration();  // smoothed, between departures

  // What left in one step: its tokens took the time until the next group, if some were left behind.
  absl::Time group_begin_ = absl::InfinitePast();
  int64_t group_tokens_ = 0;
  bool left_behind_ = false;
  // Sums in which older time counts less.
  double tokens_ = 0;
  double seconds_ = 0;
};

}  // namespace lamella
