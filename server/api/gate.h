// What stands before every handler of a listener, so that nothing of a call reaches a handler's work
// unless its metadata is within bounds, its caller is known and the caller may. Refusals are counted
// here (lamella_calls_refused_total). Thread-safe; owned by the listener.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/api/authenticator.h"
#include "server/api/write_watch.h"
#include "server/telemetry/metrics.h"

namespace grpc {
class CallbackServerContext;
}  // namespace grpc

namespace lamella {

class Gate {
 public:
  // All borrowed; they outlive the gate.
  Gate(const Authenticator* authenticator, const Metrics* metrics, WriteWatch* writes)
      : authenticator_(authenticator), metrics_(metrics), writes_(writes) {}

  // Who calls the method that takes `request_type`; nobody in particular if anyone may.
  //   INVALID_ARGUMENT (METADATA_TOO_LARGE), UNAUTHENTICATED, PERMISSION_DENIED.
  absl::StatusOr<Caller> Admit(const grpc::CallbackServerContext& context,
                               std::string_view request_type) const;

  // Why a method that nobody serves is not answered; never OK. Who is unknown does not learn which
  // methods there are.
  absl::Status RefuseUnknown(const grpc::CallbackServerContext& context) const;

  // Who bounds the time that a stream's peer may leave a write unread.
  WriteWatch* writes() const { return writes_; }

 private:
  absl::StatusOr<Caller> Check(const grpc::CallbackServerContext& context,
                               std::string_view request_type) const;
  absl::Status Counted(absl::Status status) const;

  const Authenticator* const authenticator_;
  const Metrics* const metrics_;
  WriteWatch* const writes_;
};

}  // namespace lamella
