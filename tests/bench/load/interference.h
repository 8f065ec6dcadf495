// How much longer the readers of resident adapters wait between two tokens while other adapters are
// loaded. Rounds of two phases over the same steady streams: quiet first, then loading first. Contexts
// grow, so the second phase is the slower one of every round: only a pair of rounds can be compared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/bench/load/load_client.h"

namespace lamella::bench {

struct InterferenceOptions {
  LoadClientOptions client;
  std::string admin = "127.0.0.1:50052";
  int32_t streams = 8;   // of the first so many adapters, one each
  int32_t adapters = 0;  // all; those without a stream are loaded, one after the other
  double loads_per_second = 1;
  int32_t pairs = 3;  // of rounds
  absl::Duration phase = absl::Seconds(10);
  absl::Duration settle = absl::Seconds(2);  // before the first phase of a round
  int32_t answer_tokens = 0;                 // more than a round has steps
};

struct InterferenceRound {
  double quiet_p50_ms = 0;
  double quiet_p99_ms = 0;
  double loading_p50_ms = 0;
  double loading_p99_ms = 0;
  std::vector<double> load_ms;  // from asking for an adapter until it is in memory
};

struct InterferenceReport {
  uint64_t adapter_bytes = 0;             // of the weights file of one that is loaded
  std::vector<InterferenceRound> rounds;  // of pair i: 2 i and 2 i + 1

  // p99 while loading over p99 in quiet, of each pair: the geometric mean of its rounds, in which the
  // growth of contexts cancels out.
  std::vector<double> PairRatios() const;
};

// FAILED_PRECONDITION where nothing was measured: an adapter that was to be loaded was in memory
// already, or a stream ended before its round.
absl::StatusOr<InterferenceReport> MeasureInterference(const InterferenceOptions& options);

}  // namespace lamella::bench
