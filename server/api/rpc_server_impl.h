// What a listener is made of. Internal to rpc_server*.cc.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/api/rpc_server.h"

namespace lamella {

// Of a message, around its largest prompt or chunk.
inline constexpr int64_t kMessageOverheadBytes = 1 << 20;

struct RpcServer::Impl {
  std::unique_ptr<grpc::Service> service;
  std::string name;  // of the service, for health
  std::unique_ptr<grpc::Server> server;
  int port = 0;

  // `chunk_bytes`: of messages that come in streams; what HTTP/2 may carry at once. 0: gRPC's own.
  absl::Status Listen(const RpcServerOptions& options, int64_t max_message_bytes,
                      int chunk_bytes = 0);
};

}  // namespace lamella
