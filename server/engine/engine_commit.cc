// The loop's Commit: what a step brought becomes part of its requests, or fails them.
#include <algorithm>
#include <utility>

#include "common/base/error.h"
#include "common/base/logging.h"
#include "common/base/reasons.h"
#include "server/engine/engine_loop.h"

namespace lamella {
namespace {

// Whether each row that was to be sampled was, in order, and no other; and whether what is told of
// tokens is in order too.
bool AnsweredAsAsked(const StepInput& input, const StepOutput& output) {
  size_t next = 0;
  for (size_t i = 0; i < input.sequences.size(); ++i) {
    if (!input.sequences[i].sample) continue;
    if (next == output.sampled.size()) return false;
    if (output.sampled[next++].sequence_index != static_cast<int32_t>(i)) return false;
  }
  const auto tops = static_cast<int32_t>(output.top_logprobs.size());
  const auto sound = [tops](const LogprobRow& row) {
    return 0 <= row.top_begin && row.top_begin <= row.top_end && row.top_end <= tops;
  };
  const auto before = [](const LogprobRow& a, const LogprobRow& b) {
    return std::pair(a.sequence_index, a.position) < std::pair(b.sequence_index, b.position);
  };
  return next == output.sampled.size() &&
         std::all_of(output.logprobs.begin(), output.logprobs.end(), sound) &&
         std::is_sorted(output.logprobs.begin(), output.logprobs.end(), before);
}

absl::Status InternalFault(const char* reason, const char* message) {
  return MakeError(absl::StatusCode::kInternal, reason, "", message);
}

}  // namespace

void EngineLoop::Commit() {
  if (plan_.empty()) return;
  if (step_status_.ok() && !AnsweredAsAsked(batch_.input, output_)) {
    step_status_ = absl::InternalError("the executor answered other rows than it was asked");
  }
  if (!step_status_.ok()) {
    // Why is for the operator; a caller learns nothing about the machine.
    LogError("step failed", {{"status", step_status_.ToString()}, {"rows", batch_.input.rows()}});
    for (Sequence* const sequence : batch_.sequences) {
      sequence->request->Fail(
          InternalFault(reasons::kInternal, "the model failed in a step of this request"));
    }
    return;
  }
  size_t sampled = 0;
  size_t told = 0;
  for (size_t i = 0; i < batch_.sequences.size(); ++i) {
    Told of;
    if (batch_.input.sequences[i].sample) of.sampled = &output_.sampled[sampled++];
    const size_t first = told;
    while (told < output_.logprobs.size() &&
           output_.logprobs[told].sequence_index == static_cast<int32_t>(i)) {
      ++told;
    }
    of.logprobs = std::span(output_.logprobs).subspan(first, told - first);
    CommitSequence(i, of);
  }
}

void EngineLoop::CommitSequence(size_t index, const Told& told) {
  Sequence* const sequence = batch_.sequences[index];
  ActiveRequest* const request = sequence->request;
  if (request->counted_in != turns_) CountRows(request);
  // Another choice of this request has failed it.
  if (!request->error.ok()) return;
  CommitPromptLogprobs(request, told.logprobs);
  if (told.sampled != nullptr) CommitToken(sequence, told);
  // What a failed or cancelled request computed is nobody's past.
  if (request->error.ok() && !request->stream.cancelled()) {
    scheduler_.Computed(sequence, batch_.input.sequences[index].row_count);
  }
}

void EngineLoop::CountRows(ActiveRequest* request) {
  request->counted_in = turns_;
  ++request->times.steps;
  request->times.distinct_adapters += batch_.distinct_adapters;
}

void EngineLoop::CommitPromptLogprobs(ActiveRequest* request, std::span<const LogprobRow> rows) {
  if (request->logprobs.prompt < 0 || request->started) return;
  for (const LogprobRow& row : rows) {
    // One that was preempted hears of some tokens again.
    const auto next = static_cast<int32_t>(request->prompt_logprobs.size()) + 1;
    if (row.position == next && next < request->prompt_tokens) {
      request->prompt_logprobs.push_back(Copy(row));
    }
  }
}

void EngineLoop::CommitToken(Sequence* sequence, const Told& told) {
  ActiveRequest* const request = sequence->request;
  const SampledToken& sampled = *told.sampled;
  if (!sampled.finite) {
    request->Fail(
        InternalFault(reasons::kNonFiniteLogits, "the logits of this request were not finite"));
    strikes_.Count(request->adapter);
    return;
  }
  if (sampled.token_id < 0 || sampled.token_id >= vocab_size_) {
    request->Fail(InternalFault(reasons::kInternal,
                                "the model answered with a token outside its vocabulary"));
    return;
  }
  RequestTimes& times = request->times;
  if (sequence->generated_tokens() > 0) {
    deps_.metrics->inter_token_seconds.Observe(absl::ToDoubleSeconds(now_ - sequence->last_token));
  }
  if (!times.first_token.has_value()) {
    times.first_token = now_;
    deps_.metrics->first_token_seconds.Observe(
        absl::ToDoubleSeconds(now_ - request->ticket.admitted()));
  }
  times.last_token = sequence->last_token = now_;
  deps_.metrics->generated_tokens.Increment();
  policy_->OnService(request->key.tenant, 0, 1);
  const auto position = static_cast<int32_t>(sequence->tokens.size());
  sequence->tokens.push_back(sampled.token_id);
  std::optional<TokenLogprobs> logprobs;
  if (request->logprobs.generated >= 0 && !told.logprobs.empty() &&
      told.logprobs.back().position == position) {
    logprobs = Copy(told.logprobs.back());
  }
  sequence->finished = sequence->answer.Append(sampled.token_id, std::move(logprobs));
}

TokenLogprobs EngineLoop::Copy(const LogprobRow& row) const {
  const auto begin = output_.top_logprobs.begin();
  return {row.token, {begin + row.top_begin, begin + row.top_end}};
}

}  // namespace lamella
