#include "server/api/call_context.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/server_context.h>

#include <chrono>
#include <iterator>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/api/request_validator.h"
#include "server/telemetry/traceparent.h"

namespace lamella {
namespace {

constexpr size_t kMaxMetadataEntries = 64;
constexpr size_t kMaxMetadataBytes = 8 << 10;
constexpr size_t kEntryOverheadBytes = 32;  // as HTTP/2 counts a header list (RFC 9113, 6.5.2)

std::string RandomId() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return absl::StrFormat("%016x", generator());
}

}  // namespace

absl::Status CheckMetadata(const grpc::CallbackServerContext& context) {
  size_t bytes = context.ExperimentalGetAuthority().size();
  for (const auto& [key, value] : context.client_metadata()) {
    bytes += key.size() + value.size() + kEntryOverheadBytes;
  }
  const size_t entries = context.client_metadata().size();
  if (entries <= kMaxMetadataEntries && bytes <= kMaxMetadataBytes) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMetadataTooLarge, "metadata",
                   absl::StrCat("metadata: at most ", kMaxMetadataEntries, " entries and ",
                                kMaxMetadataBytes, " bytes, got ", entries, " and ", bytes));
}

absl::Status Identify(const grpc::CallbackServerContext& context,
                      const Authenticator& authenticator, Caller* caller) {
  Proof proof;
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  if (begin != end) {
    const bool once = std::next(begin) == end;
    proof.authorization =
        once ? std::string_view(begin->second.data(), begin->second.size()) : std::string_view();
  }
  // Only what the handshake verified is there.
  for (const grpc::string_ref& uri :
       context.auth_context()->FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME)) {
    proof.uris.emplace_back(uri.data(), uri.size());
  }
  ASSIGN_OR_RETURN(*caller, authenticator.Authenticate(proof));
  return absl::OkStatus();
}

CallContext ReadCallContext(const grpc::CallbackServerContext& context, Caller caller,
                            const std::string& wanted_id) {
  CallContext call;
  call.caller = std::move(caller);
  const bool usable = !wanted_id.empty() && ValidateRequestId(wanted_id).ok();
  call.request_id = usable ? wanted_id : RandomId();
  const auto deadline = context.deadline();
  if (deadline != std::chrono::system_clock::time_point::max()) {
    call.deadline = absl::FromChrono(deadline);
  }
  const auto [begin, end] = context.client_metadata().equal_range(kTraceparent);
  if (begin != end && std::next(begin) == end) {
    call.trace =
        ContinueTrace({begin->second.data(), begin->second.size()}).value_or(TraceContext());
  }
  return call;
}

void AddRequestIdTrailer(grpc::CallbackServerContext* context, const std::string& request_id) {
  context->AddTrailingMetadata(kRequestIdTrailer, request_id);
}

void AddTraceTrailer(grpc::CallbackServerContext* context, const TraceContext& trace) {
  if (!trace.empty()) context->AddTrailingMetadata(kTraceparent, Traceparent(trace));
}

}  // namespace lamella
