#include "server/engine/publisher.h"

#include <algorithm>
#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/engine/request_end.h"

namespace lamella {
namespace {

Timings MakeTimings(const ActiveRequest& request) {
  const RequestTimes& times = request.times;
  Timings timings;
  timings.queue = *times.scheduled - request.ticket.admitted();
  timings.adapter_wait = times.adapter_wait;
  timings.prefill = *times.first_token - *times.scheduled;
  timings.first_token = *times.first_token - request.ticket.admitted();
  timings.decode = times.last_token - *times.first_token;
  timings.steps = times.steps;
  timings.mean_distinct_adapters =
      static_cast<double>(times.distinct_adapters) / std::max(times.steps, 1);
  return timings;
}

}  // namespace

void Publisher::Start(ActiveRequest* request) const {
  request->started = true;
  request->stream.Start({request->request_id, request->adapter.name, request->adapter.version,
                         request->sampling.seed, request->prompt_tokens, request->cached_tokens,
                         std::move(request->prompt_logprobs)});
  metrics_->queue_seconds.Observe(
      absl::ToDoubleSeconds(*request->times.scheduled - request->ticket.admitted()));
}

void Publisher::News(Sequence* sequence) const {
  ActiveRequest* const request = sequence->request;
  if (!request->error.ok()) return;
  if (!request->started) {
    // The start tells of the whole prompt, so it waits for it.
    if (request->logprobs.prompt >= 0 && !request->times.first_token.has_value()) return;
    Start(request);
  }
  Answer& answer = sequence->answer;
  if (answer.new_token_ids().empty() && answer.new_text().empty()) return;
  if (!request->stream.Write(sequence->choice_index, answer.new_text(), answer.new_token_ids(),
                             answer.new_logprobs())) {
    // The stream has told its reader already; the request ends for the same reason.
    request->error = MakeError(absl::StatusCode::kResourceExhausted, reasons::kSlowReader, "",
                               "the answer was not read");
  }
  answer.TakeNews();
}

void Publisher::End(ActiveRequest* request, absl::Time now) const {
  request->ticket.ReportGenerated(request->generated_tokens());
  CountGenerated(request, *metrics_);
  const RequestRecord record = RecordOf(*request, now);
  CountEnd(record, *metrics_);
  if (recorder_ != nullptr) recorder_->Record(record);
  if (!request->error.ok()) {
    request->stream.Fail(request->error);
    return;
  }
  StreamFinished finished;
  for (const auto& choice : request->choices) {
    finished.choices.push_back(*std::move(choice->finished));
  }
  finished.usage = {request->prompt_tokens, request->cached_tokens, request->generated_tokens()};
  finished.timings = MakeTimings(*request);
  request->stream.Finish(std::move(finished));
}

}  // namespace lamella
