#include "server/engine/scheduler.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace lamella {
namespace {

void MoveEnded(Scheduler::Requests* from, Scheduler::Requests* to) {
  // Mostly none has, and partitioning allocates.
  if (std::none_of(from->begin(), from->end(), [](const auto& r) { return r->ended(); })) return;
  const auto ended = std::stable_partition(from->begin(), from->end(),
                                           [](const auto& request) { return !request->ended(); });
  std::move(ended, from->end(), std::back_inserter(*to));
  from->erase(ended, from->end());
}

bool Prefills(const ActiveRequest& request) {
  return std::any_of(request.choices.begin(), request.choices.end(), [](const auto& choice) {
    return !choice->finished.has_value() && choice->has_prompt && !choice->decoding();
  });
}

}  // namespace

Scheduler::Scheduler(SchedulerLimits limits, BlockPool* blocks, PrefixIndex* prefixes,
                     AdapterGate* gate, SchedulingPolicy* policy)
    : limits_(std::move(limits)),
      capacity_(static_cast<int64_t>(limits_.kv_overcommit * blocks->num_blocks())),
      blocks_(blocks),
      prefixes_(prefixes),
      gate_(gate),
      policy_(policy) {
  plan_.reserve(static_cast<size_t>(limits_.step_tokens));
}

void Scheduler::Add(Submission submission, const Tokenizer* tokenizer) {
  const int32_t tenant = policy_->TenantIndex(submission.tenant);
  policy_->OnArrive(tenant);
  const QueueKey key{tenant, submission.priority, arrivals_++};
  auto request = std::make_unique<ActiveRequest>(std::move(submission), key, tokenizer);
  if (limits_.prefix_reuse) request->scope = prefixes_->AcquireScope(ScopeKey(*request));
  waiting_.push_back(std::move(request));
}

std::string Scheduler::ScopeKey(const ActiveRequest& request) const {
  // No field holds a line break: tenants, versions and fingerprints are of fixed alphabets, and the
  // salt comes last.
  const bool shared = request.adapter.is_base() && limits_.share_base_prefixes;
  return (shared ? std::string() : request.tenant) + "\n" + request.adapter.version + "\n" +
         limits_.base_fingerprint + "\n" + request.cache_salt;
}

std::span<const PlannedRows> Scheduler::Schedule(absl::Time now) {
  plan_.clear();
  ++turn_;
  Budget budget{limits_.step_tokens, limits_.max_logit_rows};
  PlanDecode(&budget);
  // Whoever waits for the next token waits for one chunk at most, the rows that decode among it;
  // but half of it is for prompts, or many streams would stop them.
  if (!plan_.empty()) {
    const int32_t chunk = limits_.prefill_chunk_tokens;
    const auto decoding = static_cast<int32_t>(plan_.size());
    budget.rows = std::min(budget.rows, std::max(chunk - decoding, (chunk + 1) / 2));
  }
  PlanPrefill(budget, now);
  MovePreempted();
  return plan_;
}

void Scheduler::PlanDecode(Budget* budget) {
  for (const auto& request : running_) {
    for (const auto& choice : request->choices) {
      if (request->preempted) break;
      if (choice->finished.has_value() || !choice->has_prompt || !choice->decoding()) continue;
      if (GrowFor(choice.get(), choice->computed_tokens + 1)) Plan(choice.get(), 1, budget);
    }
  }
}

void Scheduler::PlanPrefill(Budget budget, absl::Time now) {
  bool admitting = true;
  while (budget.rows > 0) {
    ActiveRequest* const request = NextInTurn(admitting);
    if (request == nullptr) return;
    request->considered_in = turn_;
    if (!request->is_running() && !TryAdmit(request, now)) admitting = false;
    if (request->is_running()) PlanPrefillOf(request, &budget);
  }
}

ActiveRequest* Scheduler::NextInTurn(bool admitting) const {
  ActiveRequest* first = nullptr;
  const auto consider = [&](ActiveRequest* request) {
    if (request->considered_in == turn_ || request->ended() || request->preempted) return;
    if (first == nullptr || policy_->Before(request->key, first->key)) first = request;
  };
  for (const auto& request : running_) {
    if (Prefills(*request)) consider(request.get());
  }
  if (!admitting) return first;
  for (const auto& request : waiting_) {
    // Who waits for a load was looked at already in this turn, and there may be many.
    if (!request->adapter_wait.since.has_value()) consider(request.get());
  }
  return first;
}

void Scheduler::PlanPrefillOf(ActiveRequest* request, Budget* budget) {
  for (const auto& choice : request->choices) {
    if (request->preempted) return;
    // Those of one row have had it, unless they came in just now.
    const bool planned = choice->decoding() && request->admitted_in != turn_;
    if (choice->finished.has_value() || !choice->has_prompt || planned) continue;
    int32_t rows = std::min(choice->pending_tokens(), budget->rows);
    if (LogitRows(*choice, rows) > budget->logit_rows) {
      if (request->logprobs.prompt < 0) continue;
      rows = std::min(rows, budget->logit_rows);
    }
    if (rows > 0 && GrowFor(choice.get(), choice->computed_tokens + rows)) {
      Plan(choice.get(), rows, budget);
    }
  }
}

void Scheduler::Plan(Sequence* sequence, int32_t rows, Budget* budget) {
  plan_.push_back({sequence, rows});
  budget->rows -= rows;
  budget->logit_rows -= LogitRows(*sequence, rows);
}

int32_t Scheduler::LogitRows(const Sequence& sequence, int32_t rows) const {
  const ActiveRequest& request = *sequence.request;
  const int32_t sampled = rows == sequence.pending_tokens() ? 1 : 0;
  if (request.logprobs.prompt < 0) return sampled;
  const int32_t told = request.prompt_tokens - 1 - sequence.computed_tokens;
  return sampled + std::clamp(told, 0, rows);
}

void Scheduler::Computed(Sequence* sequence, int32_t rows) {
  sequence->computed_tokens += rows;
  const int32_t full = sequence->computed_tokens / limits_.kv.block_tokens;
  if (limits_.prefix_reuse && full > sequence->published_blocks) {
    prefixes_->Publish(sequence->request->scope, sequence->tokens, sequence->blocks,
                       sequence->published_blocks, full - sequence->published_blocks);
    sequence->published_blocks = full;
  }
  Fork(sequence->request);
  if (sequence->finished.has_value()) {
    sequence->blocks = BlockList();
  } else if (limits_.kv.attention_window > 0) {
    const int32_t first = sequence->computed_tokens - limits_.kv.attention_window + 1;
    sequence->blocks.ReleaseFront(std::max(first, 0) / limits_.kv.block_tokens);
  }
}

void Scheduler::TakeEnded(Requests* ended) {
  const size_t first = ended->size();
  MoveEnded(&running_, ended);
  MoveEnded(&waiting_, ended);
  for (size_t i = first; i < ended->size(); ++i) {
    ActiveRequest* const request = (*ended)[i].get();
    if (!request->is_running()) policy_->OnLeaveQueue(request->key.tenant);
    LetGo(request);
    request->scope.Reset();
    policy_->OnEnd(request->key.tenant);
  }
}

void Scheduler::LetGo(ActiveRequest* request) {
  for (const auto& choice : request->choices) {
    choice->blocks = BlockList();
    choice->has_prompt = false;
    choice->computed_tokens = 0;
    choice->published_blocks = 0;
  }
  request->pin = AdapterPin();
  promised_blocks_ -= std::exchange(request->promised_blocks, 0);
}

int32_t Scheduler::running_sequences() const {
  int32_t count = 0;
  for (const auto& request : running_) count += request->preempted ? 0 : request->open_choices();
  return count;
}

absl::Status Scheduler::CheckIntegrity() const {
  std::vector<int32_t> references(static_cast<size_t>(blocks_->num_blocks()), 0);
  int64_t promised = 0;
  for (const auto& request : running_) {
    promised += request->promised_blocks;
    if (!request->is_running()) return absl::InternalError("a running request has no blocks");
    if (static_cast<bool>(request->pin) == request->adapter.is_base()) {
      return absl::InternalError("a running request has no pin, or the base has one");
    }
    if (!request->adapter.is_base() && !request->pin.ref().SameWeights(request->adapter)) {
      return absl::InternalError("a running request pins another adapter than its own");
    }
    for (const auto& choice : request->choices) {
      for (const int32_t id :
           choice->blocks.ids().subspan(static_cast<size_t>(choice->blocks.released())))
        ++references[static_cast<size_t>(id)];
    }
  }
  for (const auto& request : waiting_) {
    const bool blocks = std::any_of(request->choices.begin(), request->choices.end(),
                                    [](const auto& choice) { return !choice->blocks.empty(); });
    if (blocks || request->pin || request->is_running()) {
      return absl::InternalError("a waiting request holds blocks or a pin");
    }
  }
  if (promised != promised_blocks_) return absl::InternalError("promised blocks do not add up");
  for (size_t id = 0; id < references.size(); ++id) {
    if (references[id] == blocks_->references(static_cast<int32_t>(id))) continue;
    return absl::InternalError("references to KV block " + std::to_string(id) +
                               " have no owner among the running requests");
  }
  return blocks_->CheckIntegrity();
}

}  // namespace lamella
