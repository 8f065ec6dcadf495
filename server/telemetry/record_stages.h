// The stages of a request as seconds, for whoever writes them down. Pure.
#pragma once

#include <limits>
#include <optional>

#include "absl/time/time.h"
#include "server/core/request_record.h"

namespace lamella {

// Not a number: the request did not come so far.
struct StageSeconds {
  double queue;         // accepted to first scheduled
  double adapter_wait;  // of that, for the adapter
  double prefill;       // first scheduled to first token
  double decode;        // first token to last token
  double total;         // accepted to end
};

inline StageSeconds StagesOf(const RequestRecord& record) {
  const auto between = [](std::optional<absl::Time> from, std::optional<absl::Time> to) {
    return from.has_value() && to.has_value() ? absl::ToDoubleSeconds(*to - *from)
                                              : std::numeric_limits<double>::quiet_NaN();
  };
  return {.queue = between(record.begin, record.scheduled),
          .adapter_wait = absl::ToDoubleSeconds(record.adapter_wait),
          .prefill = between(record.scheduled, record.first_token),
          .decode = between(record.first_token, record.last_token),
          .total = between(record.begin, record.end)};
}

}  // namespace lamella
