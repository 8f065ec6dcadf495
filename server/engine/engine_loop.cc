#include "server/engine/engine_loop.h"

#include <algorithm>
#include <utility>

#include "common/base/error.h"
#include "common/base/logging.h"
#include "common/base/reasons.h"
#include "server/engine/finish_labels.h"

namespace lamella {
namespace {

SchedulerLimits MakeSchedulerLimits(const EngineOptions& options, const ExecutorLimits& executor) {
  return {options.step_tokens, options.prefill_chunk_tokens, options.max_running,
          executor.block_tokens};
}

// Whether each row that was to be sampled was, in order, and no other.
bool SampledAsAsked(const StepInput& input, const StepOutput& output) {
  size_t next = 0;
  for (size_t i = 0; i < input.sequences.size(); ++i) {
    if (!input.sequences[i].sample) continue;
    if (next == output.sampled.size()) return false;
    if (output.sampled[next++].sequence_index != static_cast<int32_t>(i)) return false;
  }
  return next == output.sampled.size();
}

absl::Status Draining() {
  return MakeRetryableError(absl::StatusCode::kUnavailable, reasons::kDraining,
                            "the server is shutting down", absl::Seconds(1));
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
      gate_(deps.residency, options.adapter_retry, [inbox = inbox_] { inbox->Wake(); }),
      scheduler_(MakeSchedulerLimits(options, deps.executor->limits()), &blocks_, &gate_,
                 std::make_unique<FcfsPolicy>()),
      strikes_(options.adapter_strikes, deps.faults) {
  deps_.metrics->kv_blocks_total.Set(blocks_.num_blocks());
}

void EngineLoop::Run() {
  while (!inbox_->closed()) {
    if (Step()) continue;
    CheckWhenIdle();
    inbox_->WaitFor(NextEvent() - deps_.clock->Now());
  }
  EndAll();
}

bool EngineLoop::Step() {
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
  for (const auto& sequence : scheduler_.waiting()) sequence->Fail(Draining());
  for (const auto& sequence : scheduler_.running()) sequence->Fail(Draining());
  batch_.Clear();
  scheduler_.TakeEnded(&ended_);
  Publish();
}

void EngineLoop::DrainMailbox() {
  inbox_->DrainTo(&mail_);
  for (Submission& submission : mail_) {
    Answer answer(deps_.tokenizer, submission.stop, submission.stop.max_tokens);
    scheduler_.Add(
        std::make_unique<Sequence>(std::move(submission), arrivals_++, std::move(answer)));
  }
  mail_.clear();
}

void EngineLoop::ExpireDeadlines() {
  now_ = deps_.clock->Now();
  const absl::Time drain_deadline = admission_->drain_deadline();
  for (const auto& sequence : scheduler_.waiting()) {
    gate_.Observe(sequence.get(), now_);
    Expire(sequence.get(), true, drain_deadline);
  }
  for (const auto& sequence : scheduler_.running()) Expire(sequence.get(), false, drain_deadline);
  scheduler_.TakeEnded(&ended_);
}

void EngineLoop::Expire(Sequence* sequence, bool waiting, absl::Time drain_deadline) {
  const std::optional<absl::Time>& since = sequence->adapter_wait.since;
  const bool loading = waiting && since.has_value();
  if (sequence->stream.cancelled()) {
    sequence->Fail(MakeError(absl::StatusCode::kCancelled, reasons::kCancelled, "",
                             "the request was cancelled"));
  } else if (loading && now_ >= std::min(sequence->deadline, *since + options_.adapter_wait)) {
    sequence->Fail(gate_.StillWaiting(*sequence, now_));
  } else if (now_ >= sequence->deadline) {
    sequence->Fail(MakeError(absl::StatusCode::kDeadlineExceeded, reasons::kDeadlineExceeded, "",
                             "the deadline has passed"));
  } else if (now_ >= drain_deadline) {
    sequence->Fail(Draining());
  }
}

void EngineLoop::Schedule() {
  plan_ = scheduler_.Schedule(now_);
  deps_.metrics->waiting_sequences.Set(static_cast<double>(scheduler_.waiting().size()));
  deps_.metrics->running_sequences.Set(static_cast<double>(scheduler_.running().size()));
  deps_.metrics->kv_blocks_used.Set(blocks_.used_blocks());
}

void EngineLoop::Build() { builder_.Build(plan_, &batch_); }

void EngineLoop::Execute() {
  if (plan_.empty()) return;
  const absl::Time begin = deps_.clock->Now();
  deps_.executor->Launch(batch_.input);
  step_status_ = deps_.executor->Wait(&output_);
  now_ = deps_.clock->Now();
  deps_.metrics->step_seconds.Observe(absl::ToDoubleSeconds(now_ - begin));
  deps_.metrics->step_rows.Observe(batch_.input.rows());
  deps_.metrics->step_distinct_adapters.Observe(batch_.distinct_adapters);
}

void EngineLoop::Commit() {
  if (plan_.empty()) return;
  const std::vector<SequenceRows>& rows = batch_.input.sequences;
  if (step_status_.ok() && !SampledAsAsked(batch_.input, output_)) {
    step_status_ = absl::InternalError("the executor sampled other rows than it was asked to");
  }
  if (!step_status_.ok()) {
    // Why is for the operator; a caller learns nothing about the machine.
    LogError("step failed", {{"status", step_status_.ToString()}, {"rows", batch_.input.rows()}});
  }
  size_t next = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    Sequence* const sequence = batch_.sequences[i];
    if (!step_status_.ok()) {
      sequence->Fail(MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                               "the model failed in a step of this request"));
      continue;
    }
    CommitRows(sequence, rows[i]);
    if (rows[i].sample) CommitToken(sequence, output_.sampled[next++]);
  }
}

void EngineLoop::CommitRows(Sequence* sequence, const SequenceRows& rows) {
  sequence->computed_tokens += rows.row_count;
  ++sequence->times.steps;
  sequence->times.distinct_adapters += batch_.distinct_adapters;
}

void EngineLoop::CommitToken(Sequence* sequence, const SampledToken& sampled) {
  if (!sampled.finite) {
    sequence->Fail(MakeError(absl::StatusCode::kInternal, reasons::kNonFiniteLogits, "",
                             "the logits of this request were not finite"));
    strikes_.Count(sequence->adapter);
    return;
  }
  if (sampled.token_id < 0 || sampled.token_id >= vocab_size_) {
    sequence->Fail(MakeError(absl::StatusCode::kInternal, reasons::kInternal, "",
                             "the model answered with a token outside its vocabulary"));
    return;
  }
  SequenceTimes& times = sequence->times;
  if (times.first_token.has_value()) {
    deps_.metrics->inter_token_seconds.Observe(absl::ToDoubleSeconds(now_ - times.last_token));
  } else {
    times.first_token = now_;
    deps_.metrics->first_token_seconds.Observe(
        absl::ToDoubleSeconds(now_ - sequence->ticket.admitted()));
  }
  times.last_token = now_;
  deps_.metrics->generated_tokens.Increment();
  sequence->tokens.push_back(sampled.token_id);
  sequence->finished = sequence->answer.Append(sampled.token_id);
}

void EngineLoop::Publish() {
  for (Sequence* const sequence : batch_.sequences) PublishNews(sequence);
  scheduler_.TakeEnded(&ended_);
  for (const auto& sequence : ended_) PublishEnd(sequence.get());
  batch_.Clear();
  // Tickets go last: once nothing is in flight, every end was told.
  ended_.clear();
}

void EngineLoop::PublishNews(Sequence* sequence) {
  if (!sequence->error.ok()) return;
  if (!sequence->started) {
    sequence->started = true;
    sequence->stream.Start({sequence->request_id, sequence->adapter.name, sequence->adapter.version,
                            sequence->sampling.seed, sequence->prompt_tokens, /*cached_tokens=*/0});
    deps_.metrics->queue_seconds.Observe(
        absl::ToDoubleSeconds(*sequence->times.scheduled - sequence->ticket.admitted()));
  }
  Answer& answer = sequence->answer;
  if (answer.new_token_ids().empty() && answer.new_text().empty()) return;
  if (!sequence->stream.Write(0, answer.new_text(), answer.new_token_ids())) {
    // The stream has told its reader already; the sequence ends for the same reason.
    sequence->finished.reset();
    sequence->Fail(MakeError(absl::StatusCode::kResourceExhausted, reasons::kSlowReader, "",
                             "the answer was not read"));
  }
  answer.TakeNews();
}

void EngineLoop::PublishEnd(Sequence* sequence) {
  deps_.metrics->requests_finished.WithReason(FinishLabel(sequence->finished, sequence->error))
      .Increment();
  if (!sequence->error.ok()) {
    sequence->stream.Fail(sequence->error);
    return;
  }
  const SequenceTimes& times = sequence->times;
  StreamFinished finished;
  finished.choices.push_back(*std::move(sequence->finished));
  finished.usage = {sequence->prompt_tokens, 0, sequence->generated_tokens()};
  Timings& timings = finished.timings;
  timings.queue = *times.scheduled - sequence->ticket.admitted();
  timings.adapter_wait = times.adapter_wait;
  timings.prefill = *times.first_token - *times.scheduled;
  timings.first_token = *times.first_token - sequence->ticket.admitted();
  timings.decode = times.last_token - *times.first_token;
  timings.steps = times.steps;
  timings.mean_distinct_adapters =
      static_cast<double>(times.distinct_adapters) / std::max(times.steps, 1);
  sequence->stream.Finish(std::move(finished));
}

absl::Time EngineLoop::NextEvent() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& sequence : scheduler_.waiting()) {
    next = std::min({next, sequence->deadline, AdapterGate::NextEvent(*sequence)});
    const std::optional<absl::Time>& since = sequence->adapter_wait.since;
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
