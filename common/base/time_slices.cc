#include "common/base/time_slices.h"

namespace lamella {

thread_local TimeSlices* TimeSlices::current_ = nullptr;

TimeSlices::TimeSlices(const Options* options, const Clock* clock)
    : options_(*options), clock_(*clock), begin_(clock->Now()) {
  if (options_.slice > absl::ZeroDuration()) current_ = this;
}

TimeSlices::~TimeSlices() { current_ = nullptr; }

void TimeSlices::RestIfOver() {
  if (clock_.Now() - begin_ < options_.slice) return;
  if (const absl::Duration rest = options_.rest(); rest > absl::ZeroDuration()) {
    options_.sleep(rest);
  }
  begin_ = clock_.Now();
}

}  // namespace lamella
