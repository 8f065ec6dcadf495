// What a listener is made of. Internal to rpc_server*.cc.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/api/gate.h"
#include "server/api/health_service.h"
#include "server/api/rpc_server.h"
#include "server/api/unknown_methods.h"
#include "server/api/write_watch.h"

namespace lamella {

// Of a message, around its largest prompt or chunk.
inline constexpr int64_t kMessageOverheadBytes = 1 << 20;

// Members go in reverse: the server, and with it every call, before what calls stand on; the watch,
// whose thread may hold a reactor for a moment longer, before the board.
struct RpcServer::Impl {
  Impl(const RpcServerOptions& options, const Authenticator* authenticator, const Metrics* metrics)
      : options(options),
        writes(options.max_write_stall, metrics),
        gate(authenticator, metrics, &writes) {}

  const RpcServerOptions options;
  HealthBoard health;
  WriteWatch writes;
  const Gate gate;
  UnknownMethods unknown{&gate};
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::vector<std::string> names;  // of services, in their order; the main one first
  std::unique_ptr<grpc::Server> server;
  int port = 0;

  void Add(const char* name, std::unique_ptr<grpc::Service> service);
  // Adds the standard services and serves. `chunk_bytes`: of messages that come in streams; what
  // HTTP/2 may carry at once. 0: gRPC's own.
  absl::Status Listen(int64_t max_message_bytes, int chunk_bytes = 0);

 private:
  void AddStandardServices();
};

}  // namespace lamella
