#include "client/conversion.h"

#include <optional>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "lamella/rpc/v1/error_details.pb.h"

namespace lamella::client {
namespace {

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

const char* FinishReasonName(v1::FinishReason reason) {
  switch (reason) {
    case v1::FINISH_REASON_STOP_TOKEN:
      return "stop_token";
    case v1::FINISH_REASON_STOP_STRING:
      return "stop_string";
    case v1::FINISH_REASON_LENGTH:
      return "length";
    default:
      return "unspecified";
  }
}

std::vector<TokenLogprobs> FromProto(
    const google::protobuf::RepeatedPtrField<v1::TokenLogprobs>& from) {
  std::vector<TokenLogprobs> all;
  for (const v1::TokenLogprobs& told : from) {
    TokenLogprobs& entry = all.emplace_back();
    entry.token = {told.token_id(), told.logprob()};
    for (const v1::TokenLogprob& top : told.top()) {
      entry.top.push_back({top.token_id(), top.logprob()});
    }
  }
  return all;
}

// The choice of that index; null if no server would send it.
Choice* ChoiceAt(int32_t index, Answer* answer) {
  constexpr int32_t kMaxChoices = 1024;  // bounds what a broken server makes us allocate
  if (index < 0 || index >= kMaxChoices) return nullptr;
  if (index == 0) return answer;
  const auto at = static_cast<size_t>(index) - 1;
  if (answer->more_choices.size() <= at) answer->more_choices.resize(at + 1);
  return &answer->more_choices[at];
}

std::string_view FoldDelta(const v1::Delta& delta, Answer* answer) {
  Choice* const choice = ChoiceAt(delta.choice_index(), answer);
  if (choice == nullptr) return {};
  choice->text += delta.text();
  choice->token_ids.insert(choice->token_ids.end(), delta.token_ids().begin(),
                           delta.token_ids().end());
  for (TokenLogprobs& told : FromProto(delta.logprobs())) {
    choice->logprobs.push_back(std::move(told));
  }
  return delta.text();
}

void FoldStarted(const v1::Started& started, Answer* answer) {
  answer->request_id = started.request_id();
  answer->adapter = started.adapter();
  answer->adapter_version = started.adapter_version();
  answer->seed = started.seed();
  answer->prompt_logprobs = FromProto(started.prompt_logprobs());
}

void FoldFinished(const v1::Finished& finished, Answer* answer) {
  for (const v1::Choice& ended : finished.choices()) {
    Choice* const choice = ChoiceAt(ended.index(), answer);
    if (choice == nullptr) continue;
    choice->finish_reason = FinishReasonName(ended.finish_reason());
    choice->stop_string = ended.stop_string();
    if (ended.matched_case() == v1::Choice::kStopTokenId) {
      choice->stop_token_id = ended.stop_token_id();
    }
  }
  answer->prompt_tokens = finished.usage().prompt_tokens();
  answer->cached_tokens = finished.usage().cached_tokens();
  answer->generated_tokens = finished.usage().generated_tokens();
  answer->queue = FromProto(finished.timings().queue());
  answer->adapter_wait = FromProto(finished.timings().adapter_wait());
  answer->first_token = FromProto(finished.timings().first_token());
  answer->decode = FromProto(finished.timings().decode());
  answer->steps = finished.timings().steps();
  answer->mean_distinct_adapters = finished.timings().mean_distinct_adapters();
}

RequestLimits FromProto(const v1::Limits& limits) {
  return {.max_prompt_bytes = limits.max_prompt_bytes(),
          .max_stop_strings = limits.max_stop_strings(),
          .max_stop_string_bytes = limits.max_stop_string_bytes(),
          .max_stop_token_ids = limits.max_stop_token_ids(),
          .max_texts = limits.max_texts(),
          .max_n = limits.max_n(),
          .max_logit_bias = limits.max_logit_bias(),
          .max_logprobs = limits.max_logprobs(),
          .max_prompt_logprobs = limits.max_prompt_logprobs(),
          .max_cache_salt_bytes = limits.max_cache_salt_bytes()};
}

CallerLimits FromProto(const v1::CallerLimits& limits) {
  return {.weight = limits.weight(),
          .max_in_flight = limits.max_in_flight(),
          .max_queued_tokens = limits.max_queued_tokens(),
          .tokens_per_minute = limits.tokens_per_minute(),
          .in_flight = limits.in_flight(),
          .queued_tokens = limits.queued_tokens()};
}

v1::Priority ToProto(Priority priority) {
  switch (priority) {
    case Priority::kLow:
      return v1::PRIORITY_LOW;
    case Priority::kNormal:
      return v1::PRIORITY_NORMAL;
    case Priority::kHigh:
      return v1::PRIORITY_HIGH;
  }
  return v1::PRIORITY_UNSPECIFIED;
}

void SetSampling(const GenerateOptions& options, v1::SamplingOptions* out) {
  if (options.temperature) out->set_temperature(*options.temperature);
  if (options.top_k) out->set_top_k(*options.top_k);
  if (options.top_p) out->set_top_p(*options.top_p);
  if (options.min_p) out->set_min_p(*options.min_p);
  if (options.repetition_penalty) out->set_repetition_penalty(*options.repetition_penalty);
  if (options.presence_penalty) out->set_presence_penalty(*options.presence_penalty);
  if (options.frequency_penalty) out->set_frequency_penalty(*options.frequency_penalty);
  for (const LogitBias& entry : options.logit_bias) {
    v1::LogitBias* const bias = out->add_logit_bias();
    bias->set_token_id(entry.token_id);
    bias->set_bias(entry.bias);
  }
  if (options.seed) out->set_seed(*options.seed);
  if (options.n) out->set_n(*options.n);
}

// The type URLs end in the google.rpc name; the bytes are those of our own twin messages.
template <typename Message>
bool Unpack(const google::protobuf::Any& any, std::string_view name, Message* message) {
  const std::string& url = any.type_url();
  return url.size() >= name.size() &&
         std::string_view(url).substr(url.size() - name.size()) == name &&
         message->ParseFromString(any.value());
}

}  // namespace

v1::GenerateRequest ToProto(const GenerateOptions& options) {
  v1::GenerateRequest request;
  request.set_adapter_id(options.adapter);
  if (options.prompt_token_ids.empty()) {
    request.set_text(options.prompt);
  } else {
    request.mutable_token_ids()->mutable_ids()->Add(options.prompt_token_ids.begin(),
                                                    options.prompt_token_ids.end());
  }
  request.set_parse_special_tokens(options.parse_special_tokens);
  request.set_request_id(options.request_id);
  request.set_cache_salt(options.cache_salt);
  if (options.priority) request.set_priority(ToProto(*options.priority));
  SetSampling(options, request.mutable_sampling());
  v1::StopOptions* stop = request.mutable_stop();
  if (options.max_tokens) stop->set_max_tokens(*options.max_tokens);
  if (options.min_tokens) stop->set_min_tokens(*options.min_tokens);
  for (const std::string& text : options.stop) stop->add_strings(text);
  for (int32_t id : options.stop_token_ids) stop->add_token_ids(id);
  stop->set_ignore_eos(options.ignore_eos);
  stop->set_include_stop(options.include_stop);
  v1::OutputOptions* output = request.mutable_output();
  output->set_token_ids(true);
  output->set_timings(true);
  if (options.logprobs) output->set_logprobs(*options.logprobs);
  if (options.prompt_logprobs) output->set_prompt_logprobs(*options.prompt_logprobs);
  return request;
}

std::string_view Fold(const v1::GenerateResponse& response, Answer* answer) {
  switch (response.event_case()) {
    case v1::GenerateResponse::kStarted:
      FoldStarted(response.started(), answer);
      break;
    case v1::GenerateResponse::kDelta:
      return FoldDelta(response.delta(), answer);
    case v1::GenerateResponse::kFinished:
      FoldFinished(response.finished(), answer);
      break;
    case v1::GenerateResponse::EVENT_NOT_SET:
      break;  // an event of a later version
  }
  return {};
}

ModelInfo ToModelInfo(const v1::GetModelInfoResponse& response) {
  return {.model = response.model(),
          .fingerprint = response.fingerprint(),
          .architecture = response.architecture(),
          .context_tokens = response.context_tokens(),
          .vocab_size = response.vocab_size(),
          .eos_token_ids = {response.eos_token_ids().begin(), response.eos_token_ids().end()},
          .dtype = response.dtype(),
          .isa = response.isa(),
          .server_version = response.server_version(),
          .features = {response.features().begin(), response.features().end()},
          .limits = FromProto(response.limits()),
          .caller_limits = FromProto(response.caller_limits())};
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  std::string reason, field;
  std::optional<absl::Duration> retry_after;
  rpc::v1::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& any : details.details()) {
      rpc::v1::ErrorInfo info;
      rpc::v1::BadRequest bad;
      rpc::v1::RetryInfo retry;
      if (Unpack(any, "google.rpc.ErrorInfo", &info)) reason = info.reason();
      if (Unpack(any, "google.rpc.BadRequest", &bad) && bad.field_violations_size() > 0) {
        field = bad.field_violations(0).field();
      }
      if (Unpack(any, "google.rpc.RetryInfo", &retry)) retry_after = FromProto(retry.retry_delay());
    }
  }
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  absl::Status error = MakeError(code, reason, field, status.error_message());
  return retry_after.has_value() ? WithRetryAfter(std::move(error), *retry_after) : error;
}

}  // namespace lamella::client
