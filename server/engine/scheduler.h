// Decides which rows the next step has, and owns the requests. Decode rows come first, one for each
// running stream; then prefill, of those that run already and of those that wait, in the policy's
// order. A waiting request gets everything it can ever need (slots, a pin on its adapter, a promise
// of blocks) or nothing. Blocks are promised for the worst case and taken as tokens come; where the
// operator lets promises pass what there is, the newest requests are sent back to wait when blocks
// run out. Knows no executor and no streams. The loop's thread alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/cache/block_pool.h"
#include "server/cache/prefix_index.h"
#include "server/engine/adapter_gate.h"
#include "server/engine/kv_demand.h"
#include "server/engine/scheduling_policy.h"
#include "server/engine/sequence.h"

namespace lamella {

struct SchedulerLimits {
  int32_t step_tokens = 0;           // rows of one step; more than max_running
  int32_t prefill_chunk_tokens = 0;  // rows of a step in which somebody decodes; half for prompts
  int32_t max_running = 0;           // sequences of one step
  int32_t max_logit_rows = 0;        // of one step; max_running at least
  KvShape kv;
  double kv_overcommit = 1.0;  // blocks promised for each block there is
  bool prefix_reuse = true;
  bool share_base_prefixes = false;  // between tenants
  std::string base_fingerprint;
};

// The next `rows` pending tokens of a running sequence.
struct PlannedRows {
  Sequence* sequence = nullptr;
  int32_t rows = 0;
};

struct SchedulerCounters {
  int64_t preemptions = 0;    // because blocks ran out
  int64_t replacements = 0;   // because another tenant's turn had come
  int64_t cached_tokens = 0;  // of prompts, that need not be computed
};

class Scheduler {
 public:
  using Requests = std::vector<std::unique_ptr<ActiveRequest>>;

  // All pointers are borrowed.
  Scheduler(SchedulerLimits limits, BlockPool* blocks, PrefixIndex* prefixes, AdapterGate* gate,
            SchedulingPolicy* policy);

  // Takes a request in. Its adapter was asked for when it was admitted.
  void Add(Submission submission, const Tokenizer* tokenizer);

  // Plans the next step, valid until the next call; empty if nothing can run. A request whose
  // adapter cannot be had ends with the load's status.
  std::span<const PlannedRows> Schedule(absl::Time now);

  // The planned rows of `sequence` were computed: publishes full blocks, gives the prompt's to its
  // other choices, lets go of what no layer attends to any more. Not for failed or cancelled ones.
  void Computed(Sequence* sequence, int32_t rows);

  // Takes ended requests out. Their blocks and pins are free when this returns. Appends.
  void TakeEnded(Requests* ended);

  const Requests& waiting() const { return waiting_; }
  const Requests& running() const { return running_; }
  int32_t running_sequences() const;
  const SchedulerCounters& counters() const { return counters_; }

  // Blocks and pins belong to running requests alone, every reference has its owner, and free and
  // used blocks add up.
  absl::Status CheckIntegrity() const;

 private:
  struct Budget {
    int32_t rows = 0;
    int32_t logit_rows = 0;
  };

  void PlanDecode(Budget* budget);
  void PlanPrefill(Budget budget, absl::Time now);
  // Null if nobody is left who was not considered in this turn.
  ActiveRequest* NextInTurn(bool admitting) const;
  void PlanPrefillOf(ActiveRequest* request, Budget* budget);
  void Plan(Sequence* sequence, int32_t rows, Budget* budget);
  int32_t LogitRows(const Sequence& sequence, int32_t rows) const;

  // False: nobody behind this one may be admitted either.
  bool TryAdmit(ActiveRequest* request, absl::Time now);
  bool HasRoom(const ActiveRequest& request) const;
  // Who may be sent back so that `waiting` gets in; null: nobody.
  ActiveRequest* FindReplaceable(const ActiveRequest& waiting) const;
  void Start(ActiveRequest* request, absl::Time now);
  // Blocks found.
  int32_t MatchPrefix(Sequence* sequence);
  void Fork(ActiveRequest* request);
  bool GrowFor(Sequence* sequence, int32_t tokens);
  void Preempt(ActiveRequest* request);
  void MovePreempted();
  int64_t WorstCase(const ActiveRequest& request) const;
  void ReserveTable(Sequence* sequence) const;
  static Sequence& FirstOpen(const ActiveRequest& request);
  std::string ScopeKey(const ActiveRequest& request) const;
  void LetGo(ActiveRequest* request);

  const SchedulerLimits limits_;
  const int64_t capacity_;  // blocks that may be promised
  BlockPool* const blocks_;
  PrefixIndex* const prefixes_;
  AdapterGate* const gate_;
  SchedulingPolicy* const policy_;
  uint64_t arrivals_ = 0;
  int64_t turn_ = 0;
  int64_t promised_blocks_ = 0;
  Requests waiting_;
  Requests running_;  // in the order in which they were admitted
  std::vector<PlannedRows> plan_;
  SchedulerCounters counters_;
};

}  // namespace lamella
