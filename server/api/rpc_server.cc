#include "server/api/rpc_server.h"

#include <google/protobuf/stubs/common.h>
#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/api/generation_service.h"
#include "server/api/rpc_server_impl.h"

namespace lamella {
namespace {

// Soft limit in HTTP/2; the handlers' own limit (call_context.h) lies below, so that what is
// between the two gets an answer that says what is wrong.
constexpr int kMaxHeaderListBytes = 16 << 10;
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kMinClientPingIntervalMs = 30'000;
constexpr int kHandshakeTimeoutMs = 10'000;

// Linking the reflection library installs it into every server of the process; this takes it out
// again, so that a flag can decide.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) {
      return plugin->name().find("reflection") != std::string::npos;
    });
  }
};

void SetLimits(const RpcServerOptions& options, int64_t max_message_bytes,
               grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(static_cast<int>(max_message_bytes));
  // A second server on the port would take half of the calls in silence.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxHeaderListBytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams);
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  // A client that is gone without a word is found within two minutes.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              kMinClientPingIntervalMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
}

}  // namespace

absl::Status RpcServer::Impl::Listen(const RpcServerOptions& options, int64_t max_message_bytes,
                                     int chunk_bytes) {
  grpc::EnableDefaultHealthCheckService(true);
#if GOOGLE_PROTOBUF_VERSION < 4022000
  // It writes a line for each string that is not UTF-8: any caller could fill the log.
  google::protobuf::SetLogHandler(nullptr);
#endif
  grpc::ServerBuilder builder;
  SetLimits(options, max_message_bytes, &builder);
  if (chunk_bytes > 0) {
    // Else a chunk comes in frames of 16 KiB, each of them with its own work.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, chunk_bytes);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, chunk_bytes);
  }
  if (options.enable_reflection) {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  } else {
    builder.SetOption(std::make_unique<WithoutReflection>());
  }
  builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(service.get());
  server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return MakeError(absl::StatusCode::kUnavailable, reasons::kPortInUse, options.flag,
                     options.flag + ": cannot listen on " + options.address +
                         ": the port is in use or the address is not of this machine");
  }
  grpc::HealthCheckServiceInterface* health = server->GetHealthCheckService();
  health->SetServingStatus(name, true);
  health->SetServingStatus(kLivenessName, true);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options,
                                                            ServiceDeps deps) {
  const int64_t max_message_bytes = deps.limits.request.max_prompt_bytes + kMessageOverheadBytes;
  auto impl = std::make_unique<Impl>();
  impl->service = std::make_unique<GenerationServiceImpl>(std::move(deps));
  impl->name = v1::GenerationService::service_full_name();
  RETURN_IF_ERROR(impl->Listen(options, max_message_bytes));
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(impl)));
}

RpcServer::RpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

RpcServer::~RpcServer() { Shutdown(absl::ZeroDuration()); }

int RpcServer::port() const { return impl_->port; }

void RpcServer::SetNotServing() {
  grpc::HealthCheckServiceInterface* health = impl_->server->GetHealthCheckService();
  health->SetServingStatus("", false);
  health->SetServingStatus(impl_->name, false);
}

void RpcServer::Shutdown(absl::Duration grace) {
  impl_->server->Shutdown(absl::ToChronoTime(absl::Now() + grace));
}

}  // namespace lamella
