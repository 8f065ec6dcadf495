#include "server/api/status_mapping.h"

#include <google/protobuf/any.pb.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/logging.h"
#include "common/base/reasons.h"
#include "lamella/rpc/v1/error_details.pb.h"

namespace lamella {
namespace {

// Status and details share the 8 KiB that clients accept as metadata by default.
constexpr size_t kMaxMessageBytes = 1024;

// Packs `message` under the name that clients know it by.
void AddDetail(const google::protobuf::Message& message, std::string_view google_rpc_name,
               rpc::v1::Status* status) {
  google::protobuf::Any* any = status->add_details();
  any->set_type_url("type.googleapis.com/google.rpc." + std::string(google_rpc_name));
  any->set_value(message.SerializeAsString());
}

// Which limit a reason is about, and whether it is the tenant's own.
struct Limit {
  const char* reason;
  const char* subject;
  const char* name;
};
constexpr char kTenant[] = "tenants/-";
constexpr char kServer[] = "server";
constexpr std::array<Limit, 7> kLimits = {{
    {reasons::kTenantInFlightLimit, kTenant, "max_in_flight"},
    {reasons::kTenantQueuedTokens, kTenant, "max_queued_tokens"},
    {reasons::kTenantTokensPerMinute, kTenant, "tokens_per_minute"},
    {reasons::kQuotaExceeded, kTenant, "stored_bytes, stored_versions, upload_bytes_per_day"},
    {reasons::kTokensPerMinute, kServer, "--tokens-per-minute"},
    {reasons::kQueueFull, kServer, "requests and uploads at one time"},
    {reasons::kStoreFull, kServer, "bytes of the store"},
}};

void AddQuotaFailure(const std::string& reason, rpc::v1::Status* status) {
  for (const Limit& limit : kLimits) {
    if (reason != limit.reason) continue;
    rpc::v1::QuotaFailure failure;
    rpc::v1::QuotaFailure::Violation* violation = failure.add_violations();
    violation->set_subject(limit.subject);
    violation->set_description(absl::StrCat(limit.name, ": ", status->message()));
    AddDetail(failure, "QuotaFailure", status);
  }
}

// How long what refuses a call lasts, as a rule, where the room that refused it knows no better.
struct UsualDelay {
  const char* reason;
  absl::Duration delay;
};
constexpr std::array<UsualDelay, 4> kUsualDelays = {{
    {reasons::kPinLimit, absl::Minutes(1)},         // somebody has to unpin
    {reasons::kQuotaExceeded, absl::Minutes(1)},    // to delete; a day's uploads say when
    {reasons::kStoreFull, absl::Minutes(1)},        // somebody has to delete
    {reasons::kStoreUnwritable, absl::Minutes(1)},  // somebody has to mend a disk
}};
constexpr absl::Duration kShortDelay = absl::Seconds(1);

// Every RESOURCE_EXHAUSTED and UNAVAILABLE has one, other codes only what they bring.
std::optional<absl::Duration> RetryAfter(const absl::Status& status, int code,
                                         const std::string& reason) {
  if (const auto told = ErrorRetryAfter(status); told.has_value()) return told;
  if (code != static_cast<int>(absl::StatusCode::kResourceExhausted) &&
      code != static_cast<int>(absl::StatusCode::kUnavailable)) {
    return std::nullopt;
  }
  for (const UsualDelay& usual : kUsualDelays) {
    if (reason == usual.reason) return usual.delay;
  }
  return kShortDelay;
}

void AddRetryInfo(absl::Duration delay, rpc::v1::Status* status) {
  rpc::v1::RetryInfo retry;
  absl::Duration rest;
  retry.mutable_retry_delay()->set_seconds(
      absl::IDivDuration(std::max(delay, absl::ZeroDuration()), absl::Seconds(1), &rest));
  retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  AddDetail(retry, "RetryInfo", status);
}

// At most kMaxMessageBytes, cut between characters.
std::string Bounded(absl::string_view message) {
  if (message.size() <= kMaxMessageBytes) return std::string(message);
  size_t end = kMaxMessageBytes - 3;
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0U) == 0x80U) --end;
  return std::string(message.substr(0, end)) + "...";
}

std::string PublicMessage(const absl::Status& status, std::string_view request_id) {
  if (!ErrorReason(status).empty()) return Bounded(status.message());
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return "the call was cancelled";
    case absl::StatusCode::kDeadlineExceeded:
      return "the deadline passed";
    default:
      LogError("an error without a reason",
               {{"request_id", request_id}, {"status", std::string(status.message())}});
      return "internal error; the server's log has it under this request id";
  }
}

}  // namespace

std::string ReasonOf(const absl::Status& status) {
  std::string reason = ErrorReason(status);
  if (!reason.empty()) return reason;
  if (status.code() == absl::StatusCode::kCancelled) return reasons::kCancelled;
  if (status.code() == absl::StatusCode::kDeadlineExceeded) return reasons::kDeadlineExceeded;
  return reasons::kInternal;
}

std::string ReasonLabel(const absl::Status& status) {
  return absl::AsciiStrToLower(ReasonOf(status));
}

grpc::Status ToGrpcStatus(const absl::Status& status, std::string_view request_id) {
  if (status.ok()) return grpc::Status::OK;
  const std::string reason = ReasonOf(status);
  // The two enumerations have the same numbers.
  const int code = reason == reasons::kInternal ? static_cast<int>(absl::StatusCode::kInternal)
                                                : status.raw_code();
  rpc::v1::Status details;
  details.set_code(code);
  details.set_message(PublicMessage(status, request_id));

  rpc::v1::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain(kErrorDomain);
  (*info.mutable_metadata())["request_id"] = std::string(request_id);
  AddDetail(info, "ErrorInfo", &details);

  if (const std::string field = ErrorField(status); !field.empty()) {
    rpc::v1::BadRequest bad;
    rpc::v1::BadRequest::FieldViolation* violation = bad.add_field_violations();
    violation->set_field(Bounded(field));
    violation->set_description(details.message());
    AddDetail(bad, "BadRequest", &details);
  }
  AddQuotaFailure(reason, &details);
  if (const auto delay = RetryAfter(status, code, reason); delay.has_value()) {
    AddRetryInfo(*delay, &details);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(code), details.message(),
                      details.SerializeAsString());
}

}  // namespace lamella
