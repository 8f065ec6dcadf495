#include "client/conversion.h"

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

void FoldStarted(const v1::Started& started, Answer* answer) {
  answer->request_id = started.request_id();
  answer->adapter = started.adapter();
  answer->adapter_version = started.adapter_version();
  answer->seed = started.seed();
}

void FoldFinished(const v1::Finished& finished, Answer* answer) {
  answer->finish_reason = FinishReasonName(finished.finish_reason());
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
  v1::SamplingOptions* sampling = request.mutable_sampling();
  if (options.temperature) sampling->set_temperature(*options.temperature);
  if (options.top_k) sampling->set_top_k(*options.top_k);
  if (options.top_p) sampling->set_top_p(*options.top_p);
  if (options.seed) sampling->set_seed(*options.seed);
  v1::StopOptions* stop = request.mutable_stop();
  if (options.max_tokens) stop->set_max_tokens(*options.max_tokens);
  for (const std::string& text : options.stop) stop->add_strings(text);
  for (int32_t id : options.stop_token_ids) stop->add_token_ids(id);
  stop->set_ignore_eos(options.ignore_eos);
  stop->set_include_stop(options.include_stop);
  request.mutable_output()->set_token_ids(true);
  request.mutable_output()->set_timings(true);
  return request;
}

std::string_view Fold(const v1::GenerateResponse& response, Answer* answer) {
  switch (response.event_case()) {
    case v1::GenerateResponse::kStarted:
      FoldStarted(response.started(), answer);
      break;
    case v1::GenerateResponse::kDelta: {
      const v1::Delta& delta = response.delta();
      answer->text += delta.text();
      answer->token_ids.insert(answer->token_ids.end(), delta.token_ids().begin(),
                               delta.token_ids().end());
      return delta.text();
    }
    case v1::GenerateResponse::kFinished:
      FoldFinished(response.finished(), answer);
      break;
    case v1::GenerateResponse::EVENT_NOT_SET:
      break;  // an event of a later version
  }
  return {};
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  std::string reason, field;
  absl::Duration retry_after = absl::InfiniteDuration();
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
  return retry_after == absl::InfiniteDuration()
             ? MakeError(code, reason, field, status.error_message())
             : MakeRetryableError(code, reason, status.error_message(), retry_after);
}

}  // namespace lamella::client
