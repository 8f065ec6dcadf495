// What a run's records add up to. A question: no clock, no I/O.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/bench/load/record.h"

namespace lamella::bench {

struct Percentiles {
  int64_t count = 0;
  double p50 = 0;
  double p90 = 0;
  double p95 = 0;
  double p99 = 0;
};
Percentiles PercentilesOf(const std::vector<double>& values);

// One figure for each two that follow each other.
std::vector<double> GeometricMeansOfPairs(const std::vector<double>& values);

// The part of a run that counts: requests due in [begin, end).
struct Window {
  absl::Duration begin;
  absl::Duration end;
};

struct Objectives {
  absl::Duration first_token = absl::InfiniteDuration();
  absl::Duration per_token = absl::InfiniteDuration();
};

struct ClassSummary {
  std::string name;  // "all", or an AdapterClassName
  int64_t requests = 0;
  Percentiles first_token_ms;       // from the moment when it was due
  Percentiles per_token_ms;         // one value for each request
  Percentiles between_messages_ms;  // every gap between two messages with tokens
};

struct Summary {
  int64_t sent = 0;
  int64_t finished = 0;
  std::map<std::string, int64_t> refused;  // by reason
  std::map<std::string, int64_t> failed;
  int64_t refused_count = 0;
  int64_t failed_count = 0;
  int64_t wrong_length = 0;  // finished with another number of tokens than was asked for

  double offered_per_second = 0;
  double finished_per_second = 0;  // answers that ended within the window, whenever they were due
  double tokens_per_second = 0;    // that arrived within the window
  double tokens_per_message = 0;
  // Finished within both objectives.
  double goodput_per_second = 0;
  double attainment = 0;              // of all that were sent
  double attainment_of_accepted = 0;  // of those not refused

  Percentiles sent_late_ms;           // the sender's own lag
  Percentiles refusal_ms;             // from sending to the refusal
  std::vector<ClassSummary> classes;  // "all" first; those without requests are left out
};

Summary Summarize(const std::vector<Record>& records, const Window& window,
                  const Objectives& objectives);

// Milliseconds between two messages of a stream, where the later one came within the window.
std::vector<double> GapsWithin(const std::vector<Record>& records, const Window& window);

}  // namespace lamella::bench
