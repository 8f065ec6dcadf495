// Law 2 through the whole engine, on a real base: whatever the neighbours, the chunks, the prefixes
// found, the preemptions, equal tokens of one adapter have equal logits, bit by bit, and each request
// the tokens that it has alone.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "tests/testing/real_base.h"

namespace lamella::testing {

struct NeighbourOptions {
  int32_t schedules = 20;  // random ones
  int32_t requests = 24;   // in each
  uint32_t seed = 1;
};

struct NeighbourFigures {
  int64_t compared_logits = 0;  // rows whose logits had been seen before
  int64_t different_logits = 0;
  int64_t compared_tokens = 0;
  int64_t different_tokens = 0;
  int64_t preemptions = 0;
  int64_t cached_tokens = 0;
  int64_t failed = 0;  // requests without an answer
  std::string first_fault;
};

// Takes the adapters out of `base`. Each request runs alone first, without reuse; then schedules of
// random step sizes, chunks, over-commit and arrival, over a KV cache that they do not fit into.
absl::StatusOr<NeighbourFigures> CompareNeighbours(RealBase* base, const NeighbourOptions& options);

}  // namespace lamella::testing
