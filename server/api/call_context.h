// What every call goes through before its own handler: metadata bounds, who calls, how the call is
// named in logs, by when it must be done. Pure functions over a server context.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/api/authenticator.h"
#include "server/core/trace_context.h"

namespace grpc {
class CallbackServerContext;
}  // namespace grpc

namespace lamella {

inline constexpr char kRequestIdTrailer[] = "lamella-request-id";
inline constexpr char kTraceparent[] = "traceparent";  // read as metadata, sent as a trailer

struct CallContext {
  Caller caller;
  std::string request_id;
  absl::Time deadline = absl::InfiniteFuture();
  TraceContext trace;  // the caller's, continued; empty without a valid `traceparent`
};

// INVALID_ARGUMENT (METADATA_TOO_LARGE) past 64 entries or 8 KiB, the authority included. gRPC has its own limit on the
// header block, but old releases count it by frame and let far more through.
absl::Status CheckMetadata(const grpc::CallbackServerContext& context);

// Who calls, by the metadata `authorization`, which may be there once, or by the verified certificate
// of the connection. UNAUTHENTICATED.
absl::Status Identify(const grpc::CallbackServerContext& context,
                      const Authenticator& authenticator, Caller* caller);

// The deadline from the context. `wanted_id` names the request if it is not empty and passes
// ValidateRequestId, else a random one does.
CallContext ReadCallContext(const grpc::CallbackServerContext& context, Caller caller,
                            const std::string& wanted_id);

// Must come before the call's status.
void AddRequestIdTrailer(grpc::CallbackServerContext* context, const std::string& request_id);
// The same; nothing for an empty one.
void AddTraceTrailer(grpc::CallbackServerContext* context, const TraceContext& trace);

}  // namespace lamella
