#include "server/engine/engine_loop.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/error.h"
#include "common/base/logging.h"
#include "common/base/reasons.h"
#include "server/engine/vtc_policy.h"

namespace lamella {
namespace {

constexpr double kStepSmoothing = 0.1;  // weight of the newest step

SchedulerLimits MakeSchedulerLimits(const EngineOptions& options, const ExecutorLimits& executor) {
  SchedulerLimits limits;
  limits.step_tokens = options.step_tokens;
  limits.prefill_chunk_tokens = options.prefill_chunk_tokens;
  limits.max_running = options.max_running;
  limits.max_logit_rows = executor.max_logit_rows;
  limits.kv = {executor.block_tokens, executor.attention_window, options.step_tokens};
  limits.kv_overcommit = options.kv_overcommit;
  limits.prefix_reuse = options.prefix_reuse;
  limits.share_base_prefixes = options.share_base_prefixes;
  limits.base_fingerprint = options.base_fingerprint;
  return limits;
}

std::unique_ptr<SchedulingPolicy> MakePolicy(const EngineOptions& options, const EngineDeps& deps) {
  if (options.policy == EngineOptions::Policy::kFcfs) return std::make_unique<FcfsPolicy>();
  return std::make_unique<VtcPolicy>(
      options.vtc, deps.tenants, [metrics = deps.metrics](std::string_view tenant, double cost) {
        metrics->by_tenant.Add(tenant, TenantCount::kServiceTokens, cost);
      });
}

absl::Status Draining() {
  return MakeRetryableError(absl::StatusCode::kUnavailable, reasons::kDraining,
                            "the server is shutting down", absl::Seconds(1));
}

// `left` says what the deadline did not leave time for.
absl::Status Late(const ActiveRequest& request, const std::string& left) {
  if (request.time_limit == absl::InfiniteDuration()) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, reasons::kDeadlineExceeded, "",
                     left.empty() ? "the deadline has passed"
                                  : "too little time is left before the deadline for " + left);
  }
  const std::string limit = absl::FormatDuration(request.time_limit);
  return MakeError(absl::StatusCode::kDeadlineExceeded, reasons::kRequestTimeLimit, "",
                   left.empty() ? "the request took " + limit +
                                      ", as long as the server lets any take (--max-request-time)"
                                : "too little of the " + limit +
                                      " that the server lets a request take "
                                      "(--max-request-time) is left for " +
                                      left);
}

}  // namespace

EngineLoop::EngineLoop(const EngineOptions& options, const EngineDeps& deps,
                       const AdmissionController* admission, std::shared_ptr<Inbox> inbox)
    : options_(options),
      deps_(deps),
      admission_(admission),
      inbox_(std::move(inbox)),
      vocab_size_(deps.executor->limits().vocab_size),
      blocks_(deps.executor->limits().num_blocks),
      prefixes_(&blocks_, deps.executor->limits().block_tokens),
      gate_(deps.residency, options.adapter_retry, [inbox = inbox_] { inbox->Wake(); }),
      policy_(MakePolicy(options, deps)),
      scheduler_(MakeSchedulerLimits(options, deps.executor->limits()), &blocks_, &prefixes_,
                 &gate_, policy_.get()),
      strikes_(options.adapter_strikes, deps.faults),
      publisher_(deps.metrics, deps.recorder),
      metrics_(deps.metrics,
               {.scheduler = &scheduler_, .blocks = &blocks_, .policy = policy_.get()},
               deps.executor->limits().block_tokens, options.max_running) {}

void EngineLoop::Run() {
  while (!inbox_->closed()) {
    if (Step()) continue;
    CheckWhenIdle();
    metrics_.TellAll(now_);
    inbox_->WaitFor(NextEvent() - deps_.clock->Now());
  }
  EndAll();
}

bool EngineLoop::Step() {
  ++turns_;
  DrainMailbox();
  ExpireDeadlines();
  Schedule();
  Build();
  Execute();
  Commit();
  Publish();
  return !plan_.empty();
}

void EngineLoop::EndAll() {
  DrainMailbox();
  now_ = deps_.clock->Now();
  for (const auto& request : scheduler_.waiting()) request->Fail(Draining());
  for (const auto& request : scheduler_.running()) request->Fail(Draining());
  batch_.Clear();
  scheduler_.TakeEnded(&ended_);
  Publish();
}

void EngineLoop::DrainMailbox() {
  inbox_->DrainTo(&mail_);
  for (Submission& submission : mail_) {
    metrics_.Accepted(submission);
    scheduler_.Add(std::move(submission), deps_.tokenizer);
  }
  mail_.clear();
}

void EngineLoop::ExpireDeadlines() {
  now_ = deps_.clock->Now();
  const absl::Time drain_deadline = admission_->drain_deadline();
  for (const auto& request : scheduler_.waiting()) {
    // Who waits for an adapter is ahead of nobody.
    request->ticket.SetAside(!gate_.Observe(request.get(), now_));
    Expire(request.get(), true, drain_deadline);
  }
  for (const auto& request : scheduler_.running()) Expire(request.get(), false, drain_deadline);
  scheduler_.TakeEnded(&ended_);
}

void EngineLoop::Expire(ActiveRequest* request, bool waiting, absl::Time drain_deadline) {
  const std::optional<absl::Time>& since = request->adapter_wait.since;
  const bool loading = waiting && since.has_value();
  if (request->stream.cancelled()) {
    request->Fail(MakeError(absl::StatusCode::kCancelled, reasons::kCancelled, "",
                            "the request was cancelled"));
  } else if (loading && now_ >= std::min(request->deadline, *since + options_.adapter_wait)) {
    request->Fail(gate_.StillWaiting(*request, now_));
  } else if (now_ >= request->deadline) {
    request->Fail(Late(*request, ""));
  } else if (now_ >= drain_deadline) {
    request->Fail(Draining());
  } else if (waiting && TooLate(*request)) {
    request->Fail(Late(*request, "a first token"));
  }
}

// Only while others run: the steps that were measured are the steps it would be part of.
bool EngineLoop::TooLate(const ActiveRequest& request) const {
  if (scheduler_.running().empty() || request.times.scheduled.has_value()) return false;
  const int32_t steps = (request.prompt_tokens + options_.step_tokens - 1) / options_.step_tokens;
  return now_ + steps * smoothed_step_ > request.deadline;
}

void EngineLoop::Schedule() {
  plan_ = scheduler_.Schedule(now_);
  metrics_.Turn(now_);
}

void EngineLoop::Build() { builder_.Build(plan_, &batch_); }

void EngineLoop::Execute() {
  if (deps_.computing != nullptr) *deps_.computing = !plan_.empty();
  if (plan_.empty()) return;
  const absl::Time begin = deps_.clock->Now();
  deps_.executor->Launch(batch_.input);
  step_status_ = deps_.executor->Wait(&output_);
  now_ = deps_.clock->Now();
  const absl::Duration took = now_ - begin;
  smoothed_step_ +=
      (smoothed_step_ == absl::ZeroDuration() ? 1.0 : kStepSmoothing) * (took - smoothed_step_);
  deps_.metrics->step_seconds.Observe(absl::ToDoubleSeconds(took));
  deps_.metrics->step_rows.Observe(batch_.input.rows());
  deps_.metrics->step_distinct_adapters.Observe(batch_.distinct_adapters);
}

void EngineLoop::Publish() {
  for (Sequence* const sequence : batch_.sequences) publisher_.News(sequence);
  scheduler_.TakeEnded(&ended_);
  for (const auto& request : ended_) publisher_.End(request.get(), now_);
  batch_.Clear();
  // Tickets go last: once nothing is in flight, every end was told.
  ended_.clear();
}

absl::Time EngineLoop::NextEvent() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& request : scheduler_.waiting()) {
    next = std::min({next, request->deadline, AdapterGate::NextEvent(*request)});
    const std::optional<absl::Time>& since = request->adapter_wait.since;
    if (since.has_value()) next = std::min(next, *since + options_.adapter_wait);
  }
  if (scheduler_.waiting().empty()) return next;
  return std::min(next, admission_->drain_deadline());
}

void EngineLoop::CheckWhenIdle() {
  if (!scheduler_.waiting().empty() || !scheduler_.running().empty()) return;
  const absl::Status integrity = CheckIntegrity();
  if (integrity.ok()) return;
  deps_.metrics->integrity_failures.Increment();
  LogError("idle engine lost something", {{"status", integrity.ToString()}});
}

}  // namespace lamella
