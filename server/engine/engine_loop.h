// The engine's one thread of work: turn after turn of seven short functions. It owns the scheduler,
// the requests, the blocks and, by right, the executor; nobody else touches them, so there is no
// mutex in here. The rest of the process reaches it through the mailbox.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/mailbox.h"
#include "server/cache/block_pool.h"
#include "server/cache/prefix_index.h"
#include "server/engine/adapter_gate.h"
#include "server/engine/adapter_strikes.h"
#include "server/engine/admission.h"
#include "server/engine/batch_builder.h"
#include "server/engine/engine.h"
#include "server/engine/loop_metrics.h"
#include "server/engine/publisher.h"
#include "server/engine/scheduler.h"

namespace lamella {

class EngineLoop {
 public:
  using Inbox = Mailbox<Submission>;

  // All borrowed but `inbox`, which callbacks of loads and readers keep alive.
  EngineLoop(const EngineOptions& options, const EngineDeps& deps,
             const AdmissionController* admission, std::shared_ptr<Inbox> inbox);

  // Turns until the mailbox is closed, waiting on it when there is nothing to do; then ends what is
  // left. For the owner thread.
  void Run();

  // One turn; true if a step ran. Never waits for anything but the executor.
  bool Step();

  // Asks for the adapter of a request that is about to be pushed. From any thread.
  std::shared_ptr<std::atomic<bool>> RequestLoad(const AdapterRef& adapter) const {
    return gate_.RequestLoad(adapter);
  }

  // Ends everything that was accepted: UNAVAILABLE (DRAINING). After the mailbox was closed.
  void EndAll();

  absl::Status CheckIntegrity() const { return scheduler_.CheckIntegrity(); }

 private:
  // The turn.
  void DrainMailbox();
  void ExpireDeadlines();
  void Schedule();
  void Build();
  void Execute();
  void Commit();
  void Publish();

  void Expire(ActiveRequest* request, bool waiting, absl::Time drain_deadline);
  bool TooLate(const ActiveRequest& request) const;
  // What the executor told of one planned sequence.
  struct Told {
    const SampledToken* sampled = nullptr;
    std::span<const LogprobRow> logprobs;
  };
  void CommitSequence(size_t index, const Told& told);
  void CommitToken(Sequence* sequence, const Told& told);
  void CommitPromptLogprobs(ActiveRequest* request, std::span<const LogprobRow> rows);
  TokenLogprobs Copy(const LogprobRow& row) const;
  void CountRows(ActiveRequest* request);
  // When something happens that no mail announces.
  absl::Time NextEvent() const;
  void CheckWhenIdle();

  const EngineOptions options_;
  const EngineDeps deps_;
  const AdmissionController* const admission_;
  const std::shared_ptr<Inbox> inbox_;
  const int32_t vocab_size_;

  BlockPool blocks_;
  PrefixIndex prefixes_;
  AdapterGate gate_;
  const std::unique_ptr<SchedulingPolicy> policy_;
  Scheduler scheduler_;
  BatchBuilder builder_;
  AdapterStrikes strikes_;
  Publisher publisher_;
  LoopMetrics metrics_;

  // Of the current turn; kept for their capacity.
  absl::Time now_;
  int64_t turns_ = 0;
  std::vector<Submission> mail_;
  std::span<const PlannedRows> plan_;
  Batch batch_;
  StepOutput output_;
  absl::Status step_status_;
  Scheduler::Requests ended_;

  absl::Duration smoothed_step_;  // time of one step; zero before the first
};

}  // namespace lamella
