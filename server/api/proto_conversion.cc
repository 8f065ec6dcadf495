#include "server/api/proto_conversion.h"

namespace lamella {

void SetDuration(absl::Duration from, google::protobuf::Duration* to) {
  absl::Duration rest;
  to->set_seconds(absl::IDivDuration(from, absl::Seconds(1), &rest));
  to->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
}

v1::Residency ToProto(Residency residency) {
  switch (residency) {
    case Residency::kDisk:
      return v1::RESIDENCY_DISK;
    case Residency::kHost:
      return v1::RESIDENCY_HOST;
    case Residency::kDevice:
      return v1::RESIDENCY_DEVICE;
  }
  return v1::RESIDENCY_UNSPECIFIED;
}

namespace {

void SetTimings(const Timings& from, v1::Timings* to) {
  SetDuration(from.queue, to->mutable_queue());
  SetDuration(from.adapter_wait, to->mutable_adapter_wait());
  SetDuration(from.prefill, to->mutable_prefill());
  SetDuration(from.first_token, to->mutable_first_token());
  SetDuration(from.decode, to->mutable_decode());
  to->set_steps(from.steps);
  to->set_mean_distinct_adapters(from.mean_distinct_adapters);
}

void SetEnd(const ChoiceEnd& from, v1::Finished* to) {
  switch (from.reason) {
    case FinishReason::kStopToken:
      to->set_finish_reason(v1::FINISH_REASON_STOP_TOKEN);
      to->set_stop_token_id(from.matched_token_id);
      return;
    case FinishReason::kStopString:
      to->set_finish_reason(v1::FINISH_REASON_STOP_STRING);
      to->set_stop_string(from.matched_string);
      return;
    case FinishReason::kLength:
      to->set_finish_reason(v1::FINISH_REASON_LENGTH);
      return;
  }
}

}  // namespace

OutputParams ToOutputParams(const v1::OutputOptions& options) {
  return {.final_only = options.final_only(),
          .token_ids = options.token_ids(),
          .timings = options.timings()};
}

v1::Started ToProto(const StreamStarted& started) {
  v1::Started out;
  out.set_request_id(started.request_id);
  out.set_adapter(started.adapter);
  out.set_adapter_version(started.version);
  out.set_seed(started.seed);
  out.set_prompt_tokens(started.prompt_tokens);
  return out;
}

v1::Delta ToProto(const StreamDelta& delta, const OutputParams& output) {
  v1::Delta out;
  out.set_text(delta.text);
  if (output.token_ids)
    out.mutable_token_ids()->Assign(delta.token_ids.begin(), delta.token_ids.end());
  return out;
}

v1::Finished ToProto(const StreamFinished& finished, const OutputParams& output) {
  v1::Finished out;
  if (!finished.choices.empty()) SetEnd(finished.choices.front(), &out);
  out.mutable_usage()->set_prompt_tokens(finished.usage.prompt_tokens);
  out.mutable_usage()->set_cached_tokens(finished.usage.cached_tokens);
  out.mutable_usage()->set_generated_tokens(finished.usage.generated_tokens);
  if (output.timings) SetTimings(finished.timings, out.mutable_timings());
  return out;
}

v1::UsableAdapter ToProto(const AdapterSummary& adapter) {
  v1::UsableAdapter out;
  out.set_adapter_id(adapter.alias == "live" ? adapter.ref.name
                                             : adapter.ref.name + "@" + adapter.alias);
  out.set_alias(adapter.alias);
  out.set_version(adapter.ref.version);
  out.set_residency(ToProto(adapter.residency));
  out.set_max_rank(adapter.max_rank);
  return out;
}

}  // namespace lamella
