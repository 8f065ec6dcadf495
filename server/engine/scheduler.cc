#include "server/engine/scheduler.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

namespace lamella {
namespace {

using Sequences = std::vector<std::unique_ptr<Sequence>>;

void MoveEnded(Sequences* from, Sequences* to) {
  const auto ended = std::stable_partition(from->begin(), from->end(),
                                           [](const auto& sequence) { return !sequence->ended(); });
  std::move(ended, from->end(), std::back_inserter(*to));
  from->erase(ended, from->end());
}

}  // namespace

Scheduler::Scheduler(SchedulerLimits limits, BlockPool* blocks, AdapterGate* gate,
                     std::unique_ptr<SchedulingPolicy> policy)
    : limits_(limits), blocks_(blocks), gate_(gate), policy_(std::move(policy)) {}

void Scheduler::Add(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }

std::span<const PlannedRows> Scheduler::Schedule(absl::Time now) {
  plan_.clear();
  int32_t budget = limits_.step_tokens;
  budget -= PlanDecode(budget);
  budget -= PlanPrefill(budget);
  PlanWaiting(budget, now);
  return plan_;
}

int32_t Scheduler::PlanDecode(int32_t budget) {
  int32_t planned = 0;
  for (const auto& sequence : running_) {
    if (sequence->decoding()) planned += Plan(sequence.get(), budget - planned);
  }
  return planned;
}

int32_t Scheduler::PlanPrefill(int32_t budget) {
  int32_t planned = 0;
  for (const auto& sequence : running_) {
    if (!sequence->decoding()) planned += Plan(sequence.get(), budget - planned);
  }
  return planned;
}

void Scheduler::PlanWaiting(int32_t budget, absl::Time now) {
  const auto before = [this](const auto& a, const auto& b) {
    return policy_->Before(a->key, b->key);
  };
  // Mostly in order already, and sorting allocates.
  if (!std::is_sorted(waiting_.begin(), waiting_.end(), before)) {
    std::stable_sort(waiting_.begin(), waiting_.end(), before);
  }
  bool admitted_any = false;
  for (auto& sequence : waiting_) {
    if (budget <= 0 || static_cast<int32_t>(running_.size()) >= limits_.max_running) break;
    if (!TryAdmit(sequence.get(), now)) break;
    if (sequence->blocks.empty()) continue;
    budget -= Plan(sequence.get(), budget);
    running_.push_back(std::move(sequence));
    admitted_any = true;
  }
  if (admitted_any) std::erase(waiting_, nullptr);
}

bool Scheduler::TryAdmit(Sequence* sequence, absl::Time now) {
  // Who waits for a load holds nobody up.
  if (sequence->ended() || !gate_->Observe(sequence, now)) return true;
  const int32_t tokens = sequence->worst_case_kv_tokens();
  std::optional<BlockList> blocks =
      blocks_->Allocate((tokens + limits_.block_tokens - 1) / limits_.block_tokens);
  // No overtaking here, or small requests could keep a large one out for ever.
  if (!blocks.has_value()) return false;
  // The pin comes last: without it the blocks go back and nothing has changed.
  absl::StatusOr<std::optional<AdapterPin>> pin = gate_->TryPin(sequence, now);
  if (!pin.ok()) sequence->Fail(pin.status());
  if (!pin.ok() || !pin->has_value()) return true;
  sequence->blocks = *std::move(blocks);
  sequence->pin = **std::move(pin);
  sequence->times.scheduled = now;
  sequence->ticket.LeaveQueue();
  return true;
}

int32_t Scheduler::Plan(Sequence* sequence, int32_t budget) {
  const int32_t rows = std::min({sequence->pending_tokens(), limits_.prefill_chunk_tokens, budget});
  if (rows <= 0) return 0;
  plan_.push_back({sequence, rows});
  return rows;
}

void Scheduler::TakeEnded(std::vector<std::unique_ptr<Sequence>>* ended) {
  const size_t first = ended->size();
  MoveEnded(&running_, ended);
  MoveEnded(&waiting_, ended);
  for (size_t i = first; i < ended->size(); ++i) {
    (*ended)[i]->blocks = BlockList();
    (*ended)[i]->pin = AdapterPin();
  }
}

absl::Status Scheduler::CheckIntegrity() const {
  int64_t used = 0;
  for (const auto& sequence : running_) {
    used += sequence->blocks.size();
    if (static_cast<bool>(sequence->pin) == sequence->adapter.is_base()) {
      return absl::InternalError("a running sequence has no pin, or the base has one");
    }
    if (!sequence->adapter.is_base() && !sequence->pin.ref().SameWeights(sequence->adapter)) {
      return absl::InternalError("a running sequence pins another adapter than its own");
    }
  }
  for (const auto& sequence : waiting_) {
    if (!sequence->blocks.empty() || sequence->pin) {
      return absl::InternalError("a waiting sequence holds blocks or a pin");
    }
  }
  if (used != blocks_->used_blocks()) {
    return absl::InternalError("blocks were lost: running sequences own " + std::to_string(used) +
                               ", the pool counts " + std::to_string(blocks_->used_blocks()));
  }
  return blocks_->CheckIntegrity();
}

}  // namespace lamella
