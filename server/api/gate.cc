#include "server/api/gate.h"

#include <optional>
#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/api/authorization.h"
#include "server/api/call_context.h"
#include "server/api/status_mapping.h"

namespace lamella {

absl::Status Gate::Counted(absl::Status status) const {
  if (!status.ok()) metrics_->calls_refused.WithReason(ReasonLabel(status)).Increment();
  return status;
}

absl::StatusOr<Caller> Gate::Check(const grpc::CallbackServerContext& context,
                                   std::string_view request_type) const {
  RETURN_IF_ERROR(CheckMetadata(context));
  const std::optional<Access> access = AccessTo(request_type);
  if (access.has_value() && access->anyone) return Caller();
  Caller caller;
  RETURN_IF_ERROR(Identify(context, *authenticator_, &caller));
  RETURN_IF_ERROR(Authorize(caller, request_type));
  return caller;
}

absl::StatusOr<Caller> Gate::Admit(const grpc::CallbackServerContext& context,
                                   std::string_view request_type) const {
  absl::StatusOr<Caller> caller = Check(context, request_type);
  RETURN_IF_ERROR(Counted(caller.status()));
  return caller;
}

absl::Status Gate::RefuseUnknown(const grpc::CallbackServerContext& context) const {
  Caller caller;
  absl::Status status = CheckMetadata(context);
  if (status.ok()) status = Identify(context, *authenticator_, &caller);
  if (status.ok()) {
    status = MakeError(absl::StatusCode::kUnimplemented, reasons::kNotImplemented, "",
                       "there is no such method on this listener");
  }
  return Counted(std::move(status));
}

}  // namespace lamella
