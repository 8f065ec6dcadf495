// What the metrics say of the loop's state: how much waits and runs, and for whom. Changes nothing.
// The loop's thread alone.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "server/cache/block_pool.h"
#include "server/engine/scheduler.h"
#include "server/engine/scheduling_policy.h"
#include "server/engine/sequence.h"
#include "server/telemetry/metrics.h"

namespace lamella {

class LoopMetrics {
 public:
  struct Sources {  // all borrowed
    const Scheduler* scheduler = nullptr;
    const BlockPool* blocks = nullptr;
    SchedulingPolicy* policy = nullptr;
  };
  // `metrics` is borrowed. Of a block in positions; of a step in sequences.
  LoopMetrics(const Metrics* metrics, Sources sources, int32_t block_tokens, int32_t max_running);

  // A request was taken in.
  void Accepted(const Submission& submission) const;

  // In every turn, after the schedule was made. What costs more than a few stores is told at
  // intervals, and in the turn in which nothing is left to do.
  void Turn(absl::Time now);

  // Everything as it is now: before the loop waits for mail.
  void TellAll(absl::Time now);

 private:
  void TellAdaptersAtWork(absl::Time now) const;

  const Metrics* const metrics_;
  const Scheduler* const scheduler_;
  const BlockPool* const blocks_;
  SchedulingPolicy* const policy_;
  const int32_t max_running_;
  SchedulerCounters told_;  // counts that the metrics know
  absl::Time told_all_ = absl::InfinitePast();
  bool told_idle_ = false;
};

}  // namespace lamella
