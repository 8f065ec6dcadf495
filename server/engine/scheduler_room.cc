// The scheduler's half that finds room: admission, promises of blocks, and what gives way.
#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "server/engine/scheduler.h"

namespace lamella {

bool Scheduler::TryAdmit(ActiveRequest* request, absl::Time now) {
  // Who waits for a load holds nobody up.
  if (!gate_->Observe(request, now)) return true;
  // No overtaking here, or small requests could keep a large one out for ever.
  if (!HasRoom(*request) && FindReplaceable(*request) == nullptr) return false;
  // Before anybody is sent back, who would have made room for nothing.
  absl::StatusOr<std::optional<AdapterPin>> pin = gate_->TryPin(request, now);
  if (!pin.ok()) request->Fail(pin.status());
  if (!pin.ok() || !pin->has_value()) return true;
  while (!HasRoom(*request)) {
    ActiveRequest* const running = FindReplaceable(*request);
    if (running == nullptr) return false;
    ++counters_.replacements;
    Preempt(running);
  }
  request->pin = **std::move(pin);
  policy_->OnLoad(request->key.tenant, request->pin.loaded_bytes());
  Start(request, now);
  return true;
}

bool Scheduler::HasRoom(const ActiveRequest& request) const {
  const int32_t open = request.open_choices();
  if (running_sequences() + open > limits_.max_running) return false;
  if (promised_blocks_ + WorstCase(request) > capacity_) return false;
  // Where more is promised than there is: what it would take at once.
  const auto known = static_cast<int64_t>(FirstOpen(request).tokens.size());
  const int64_t at_once = std::min(BlocksFor(limits_.kv, known) + open - 1, WorstCase(request));
  return at_once <= blocks_->free_blocks();
}

void Scheduler::Start(ActiveRequest* request, absl::Time now) {
  const auto self = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const auto& waiting) { return waiting.get() == request; });
  running_.push_back(std::move(*self));
  waiting_.erase(self);
  request->admitted_in = turn_;
  request->promised_blocks = WorstCase(*request);
  promised_blocks_ += request->promised_blocks;

  Sequence* const first = &FirstOpen(*request);
  ReserveTable(first);
  first->published_blocks = MatchPrefix(first);
  first->computed_tokens = first->published_blocks * limits_.kv.block_tokens;
  first->has_prompt = true;
  policy_->OnLeaveQueue(request->key.tenant);
  if (!request->times.scheduled.has_value()) {
    request->times.scheduled = now;
    request->cached_tokens = std::min(first->computed_tokens, request->prompt_tokens);
    counters_.cached_tokens += request->cached_tokens;
    request->ticket.LeaveQueue();
    // Charged before it is computed, so that this very step knows whose turn is next.
    policy_->OnService(request->key.tenant, request->prompt_tokens - request->cached_tokens, 0);
  }
  Fork(request);
}

int32_t Scheduler::MatchPrefix(Sequence* sequence) {
  const ActiveRequest& request = *sequence->request;
  // The logits of the last token are needed, and those of the whole prompt if they are asked for.
  if (!limits_.prefix_reuse || request.logprobs.prompt >= 0) return 0;
  const auto known = static_cast<int32_t>(sequence->tokens.size());
  return prefixes_->Match(request.scope, sequence->tokens, (known - 1) / limits_.kv.block_tokens,
                          &sequence->blocks);
}

void Scheduler::Fork(ActiveRequest* request) {
  const auto n = static_cast<int32_t>(request->choices.size());
  const auto shared = static_cast<int32_t>(SharedBlocks(limits_.kv, request->prompt_tokens, n));
  const auto owner =
      std::find_if(request->choices.begin(), request->choices.end(), [&](const auto& choice) {
        return choice->has_prompt && choice->computed_tokens >= shared * limits_.kv.block_tokens;
      });
  if (owner == request->choices.end()) return;
  for (const auto& choice : request->choices) {
    if (choice->has_prompt || choice->finished.has_value()) continue;
    // Full blocks only: what a choice writes to is its own.
    choice->blocks = blocks_->Adopt((*owner)->blocks.ids().first(static_cast<size_t>(shared)));
    ReserveTable(choice.get());
    choice->published_blocks = shared;
    choice->computed_tokens = shared * limits_.kv.block_tokens;
    choice->has_prompt = true;
  }
}

void Scheduler::ReserveTable(Sequence* sequence) const {
  const ActiveRequest& request = *sequence->request;
  sequence->blocks.Reserve(static_cast<int32_t>(
      BlocksFor(limits_.kv, int64_t{request.prompt_tokens} + request.max_tokens)));
}

bool Scheduler::GrowFor(Sequence* sequence, int32_t tokens) {
  const auto missing =
      static_cast<int32_t>(BlocksFor(limits_.kv, tokens)) - sequence->blocks.size();
  if (missing <= 0) return true;
  while (!blocks_->Grow(&sequence->blocks, missing)) {
    ActiveRequest* newest = sequence->request;
    for (const auto& request : running_) {
      if (!request->preempted && request->key.arrival > newest->key.arrival) newest = request.get();
    }
    ++counters_.preemptions;
    Preempt(newest);
    if (newest == sequence->request) return false;
  }
  return true;
}

ActiveRequest* Scheduler::FindReplaceable(const ActiveRequest& waiting) const {
  const auto newest = std::find_if(running_.rbegin(), running_.rend(), [&](const auto& running) {
    return !running->preempted && policy_->MayReplace(waiting.key, running->key);
  });
  return newest == running_.rend() ? nullptr : newest->get();
}

void Scheduler::Preempt(ActiveRequest* request) {
  LetGo(request);
  request->preempted = true;
  policy_->OnRejoinQueue(request->key.tenant);
  std::erase_if(plan_, [&](const PlannedRows& rows) { return rows.sequence->request == request; });
}

void Scheduler::MovePreempted() {
  if (std::none_of(running_.begin(), running_.end(), [](const auto& r) { return r->preempted; })) {
    return;
  }
  const auto preempted = std::stable_partition(
      running_.begin(), running_.end(), [](const auto& request) { return !request->preempted; });
  for (auto i = preempted; i != running_.end(); ++i) (*i)->preempted = false;
  std::move(preempted, running_.end(), std::back_inserter(waiting_));
  running_.erase(preempted, running_.end());
}

int64_t Scheduler::WorstCase(const ActiveRequest& request) const {
  return WorstCaseBlocks(limits_.kv, request.prompt_tokens, request.max_tokens,
                         static_cast<int32_t>(request.choices.size()));
}

Sequence& Scheduler::FirstOpen(const ActiveRequest& request) {
  return **std::find_if(request.choices.begin(), request.choices.end(),
                        [](const auto& choice) { return !choice->finished.has_value(); });
}

}  // namespace lamella
