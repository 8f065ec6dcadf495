// An engine with a cache of two adapters, more hot adapters than that, and somebody who uploads,
// switches aliases, evicts and deletes all the time: every answer must be, token by token, what the
// version that it reports says alone (law 1 and law 2). Counts; judges nothing.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/stress/churn_store.h"

namespace lamella::testing {

struct ChurnOptions {
  int64_t tokens = 100'000;                          // compared, at least
  absl::Duration interval = absl::Milliseconds(30);  // from one change to the next
  absl::Duration time_limit = absl::InfiniteDuration();
  int32_t clients = 8;
  uint32_t seed = 1;
};

struct ChurnFigures {
  int64_t tokens = 0;      // of answers, each compared
  int64_t answers = 0;     // that ended well
  int64_t mismatches = 0;  // tokens that differ, and answers of a version that nobody asked for
  int64_t uploads = 0;
  int64_t switches = 0;
  int64_t evictions = 0;  // by hand
  int64_t deletions = 0;
  int64_t loads = 0;
  int64_t refused = 0;        // NOT_FOUND of what was deleted, or not resident in time
  int64_t unexpected = 0;     // any other failure
  double distinct_share = 0;  // of pairs of contents whose answers differ: the comparison's teeth
  double seconds = 0;
  std::string first_fault;  // of a mismatch or of what was unexpected
};

// `open_store` gets the base spec and a clock.
absl::StatusOr<ChurnFigures> RunChurn(const ChurnOptions& options, const std::string& dir);

}  // namespace lamella::testing
