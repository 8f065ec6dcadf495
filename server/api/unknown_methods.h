// Answers for every method that no service of a listener has, so that also these calls go through
// the gate: without it gRPC would tell anyone which methods there are. Thread-safe.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include "server/api/gate.h"

namespace lamella {

class UnknownMethods final : public grpc::CallbackGenericService {
 public:
  // `gate` is borrowed.
  explicit UnknownMethods(const Gate* gate) : gate_(gate) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  const Gate* const gate_;
};

}  // namespace lamella
