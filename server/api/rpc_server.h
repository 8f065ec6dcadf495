// A listener: a gRPC server with one service (GenerationService or AdapterAdminService),
// grpc.health.v1, by option reflection, and beside the admin service channelz; one gate (gate.h) stands
// before all of them, unknown methods included. Free of gRPC's headers, so that the composition root
// compiles fast. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/api/admin_deps.h"
#include "server/api/service_deps.h"

namespace lamella {

class TlsReloader;

// Names that grpc.health.v1 knows besides "" and the service's own. "liveness" is for liveness
// probes: it stays SERVING while the server drains, so that no probe kills a server that finishes
// its work.
inline constexpr char kLivenessName[] = "liveness";

struct RpcServerOptions {
  std::string address;          // HOST:PORT; port 0 takes a free one
  std::string flag = "listen";  // that the address came from, for errors
  bool enable_reflection = false;
  const TlsReloader* tls = nullptr;           // borrowed; null: without TLS
  bool require_client_certificate = false;    // of tls's CA
  int32_t max_concurrent_streams = 1024;      // of one connection
  int64_t memory_bytes = int64_t{512} << 20;  // that gRPC may take for connections and messages
  absl::Duration max_connection_age = absl::InfiniteDuration();  // then told to connect anew
  // How long a stream's peer may leave a write unread before the stream is cancelled.
  absl::Duration max_write_stall = absl::Seconds(30);
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

  // Full names of what is served.
  const std::vector<std::string>& services() const;

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
