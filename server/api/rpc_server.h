// A listener: a gRPC server with one service (GenerationService or AdapterAdminService),
// grpc.health.v1 and, by option, reflection. Free of gRPC's headers, so that the composition root
// compiles fast. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/api/admin_deps.h"
#include "server/api/service_deps.h"

namespace lamella {

// Names that grpc.health.v1 knows besides "" and the service's own. "live" is for liveness probes:
// it stays SERVING while the server drains, so that no probe kills a server that finishes its work.
inline constexpr char kLivenessName[] = "live";

struct RpcServerOptions {
  std::string address;          // HOST:PORT; port 0 takes a free one
  std::string flag = "listen";  // that the address came from, for errors
  bool enable_reflection = false;
  int32_t max_concurrent_streams = 1024;  // of one connection
};

class RpcServer {
 public:
  // Serves when it returns. UNAVAILABLE (PORT_IN_USE) if the address cannot be listened on.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const RpcServerOptions& options,
                                                          ServiceDeps deps);
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const RpcServerOptions& options,
                                                          AdminDeps deps);
  // Shuts down without grace.
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  int port() const;

  // Health answers NOT_SERVING from now on; calls are served as before.
  void SetNotServing();

  // Takes no new calls, lets the others end, cancels what is left after `grace`. Blocks until every
  // handler is done. Any number of calls.
  void Shutdown(absl::Duration grace);

 private:
  struct Impl;
  explicit RpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella
