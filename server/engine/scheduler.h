// Decides which rows the next step has, and owns the sequences. Decode rows come first, one for
// each running stream, then prefill chunks of those that run already, then of those that wait, in
// the policy's order. A waiting sequence gets everything it can ever need (a pin on its adapter,
// blocks for prompt and answer) or nothing. Knows no executor and no streams. The loop's thread
// alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/cache/block_pool.h"
#include "server/engine/adapter_gate.h"
#include "server/engine/scheduling_policy.h"
#include "server/engine/sequence.h"

namespace lamella {

struct SchedulerLimits {
  int32_t step_tokens = 0;           // rows of one step; more than max_running
  int32_t prefill_chunk_tokens = 0;  // rows of one sequence in one step
  int32_t max_running = 0;           // sequences of one step
  int32_t block_tokens = 0;
};

// The next `rows` pending tokens of a running sequence.
struct PlannedRows {
  Sequence* sequence = nullptr;
  int32_t rows = 0;
};

class Scheduler {
 public:
  // `blocks` and `gate` are borrowed.
  Scheduler(SchedulerLimits limits, BlockPool* blocks, AdapterGate* gate,
            std::unique_ptr<SchedulingPolicy> policy);

  // Takes a sequence in. Its adapter was asked for when it was admitted.
  void Add(std::unique_ptr<Sequence> sequence);

  // Plans the next step, valid until the next call; empty if nothing can run. A sequence whose
  // adapter cannot be had ends with the load's status.
  std::span<const PlannedRows> Schedule(absl::Time now);

  // Takes ended sequences out. Their blocks and pins are free when this returns. Appends.
  void TakeEnded(std::vector<std::unique_ptr<Sequence>>* ended);

  const std::vector<std::unique_ptr<Sequence>>& waiting() const { return waiting_; }
  const std::vector<std::unique_ptr<Sequence>>& running() const { return running_; }

  // Blocks and pins belong to running sequences alone, and free and used blocks add up.
  absl::Status CheckIntegrity() const;

 private:
  int32_t PlanDecode(int32_t budget);
  int32_t PlanPrefill(int32_t budget);
  void PlanWaiting(int32_t budget, absl::Time now);
  // False: nobody behind this one may be admitted either.
  bool TryAdmit(Sequence* sequence, absl::Time now);
  int32_t Plan(Sequence* sequence, int32_t budget);

  const SchedulerLimits limits_;
  BlockPool* const blocks_;
  AdapterGate* const gate_;
  const std::unique_ptr<SchedulingPolicy> policy_;
  std::vector<std::unique_ptr<Sequence>> waiting_;
  std::vector<std::unique_ptr<Sequence>> running_;  // in the order in which they were admitted
  std::vector<PlannedRows> plan_;
};

}  // namespace lamella
