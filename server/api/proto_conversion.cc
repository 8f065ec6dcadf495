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

// What Generate takes for it: the adapter's name alone is its alias "live".
std::string UsableId(const AdapterSummary& adapter) {
  if (adapter.alias == "live") return adapter.ref.name;
  if (adapter.alias.empty()) return adapter.ref.name + "@sha256:" + adapter.ref.version;
  return adapter.ref.name + "@" + adapter.alias;
}

void SetTimings(const Timings& from, v1::Timings* to) {
  SetDuration(from.queue, to->mutable_queue());
  SetDuration(from.adapter_wait, to->mutable_adapter_wait());
  SetDuration(from.prefill, to->mutable_prefill());
  SetDuration(from.first_token, to->mutable_first_token());
  SetDuration(from.decode, to->mutable_decode());
  to->set_steps(from.steps);
  to->set_mean_distinct_adapters(from.mean_distinct_adapters);
}

void SetEnd(const ChoiceEnd& from, v1::Choice* to) {
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

void SetLogprobs(const std::vector<TokenLogprobs>& from,
                 google::protobuf::RepeatedPtrField<v1::TokenLogprobs>* to) {
  for (const TokenLogprobs& told : from) {
    v1::TokenLogprobs* const entry = to->Add();
    entry->set_token_id(told.token.token_id);
    entry->set_logprob(told.token.logprob);
    for (const TokenLogprob& alternative : told.top) {
      v1::TokenLogprob* const top = entry->add_top();
      top->set_token_id(alternative.token_id);
      top->set_logprob(alternative.logprob);
    }
  }
}

v1::Choice* ChoiceAt(int32_t index, v1::Finished* whole) {
  while (whole->choices_size() <= index) {
    const int32_t next = whole->choices_size();
    whole->add_choices()->set_index(next);
  }
  return whole->mutable_choices(index);
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
  out.set_cached_tokens(started.cached_tokens);
  SetLogprobs(started.prompt_logprobs, out.mutable_prompt_logprobs());
  return out;
}

v1::Delta ToProto(const StreamDelta& delta, const OutputParams& output) {
  v1::Delta out;
  out.set_choice_index(delta.choice);
  out.set_text(delta.text);
  if (output.token_ids)
    out.mutable_token_ids()->Assign(delta.token_ids.begin(), delta.token_ids.end());
  SetLogprobs(delta.logprobs, out.mutable_logprobs());
  return out;
}

v1::Finished ToProto(const StreamFinished& finished, const OutputParams& output) {
  v1::Finished out;
  FinishWhole(finished, output, &out);
  return out;
}

void AddToWhole(const StreamDelta& delta, const OutputParams& output, v1::Finished* whole) {
  v1::Choice* const choice = ChoiceAt(delta.choice, whole);
  choice->mutable_text()->append(delta.text);
  if (output.token_ids) {
    choice->mutable_token_ids()->Add(delta.token_ids.begin(), delta.token_ids.end());
  }
  SetLogprobs(delta.logprobs, choice->mutable_logprobs());
}

void FinishWhole(const StreamFinished& finished, const OutputParams& output, v1::Finished* whole) {
  for (size_t i = 0; i < finished.choices.size(); ++i) {
    SetEnd(finished.choices[i], ChoiceAt(static_cast<int32_t>(i), whole));
  }
  v1::Usage* const usage = whole->mutable_usage();
  usage->set_prompt_tokens(finished.usage.prompt_tokens);
  usage->set_cached_tokens(finished.usage.cached_tokens);
  usage->set_generated_tokens(finished.usage.generated_tokens);
  if (output.timings) SetTimings(finished.timings, whole->mutable_timings());
}

v1::UsableAdapter ToProto(const AdapterSummary& adapter) {
  v1::UsableAdapter out;
  out.set_adapter_id(UsableId(adapter));
  out.set_alias(adapter.alias);
  out.set_version(adapter.ref.version);
  out.set_residency(ToProto(adapter.residency));
  out.set_max_rank(adapter.max_rank);
  return out;
}

}  // namespace lamella
