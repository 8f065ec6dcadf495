#include "server/api/rpc_server.h"

#include <google/protobuf/stubs/common.h>
#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/api/generation_service.h"
#include "server/api/reflection_service.h"
#include "server/api/rpc_server_impl.h"
#include "server/api/tls_reloader.h"

namespace lamella {
namespace {

// Soft limit in HTTP/2; the handlers' own limit (call_context.h) lies below, so that what is
// between the two gets an answer that says what is wrong.
constexpr int kMaxHeaderListBytes = 16 << 10;
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kMinClientPingIntervalMs = 30'000;
constexpr int kMaxPingStrikes = 2;
constexpr int kHandshakeTimeoutMs = 10'000;
// Of a connection without calls. Clients connect anew by themselves.
constexpr int kMaxIdleMs = 30 * 60'000;

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
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, kMaxPingStrikes);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kMaxIdleMs);
  if (options.max_connection_age != absl::InfiniteDuration()) {
    // Streams that run may end: there is no limit to the grace.
    builder->AddChannelArgument(
        GRPC_ARG_MAX_CONNECTION_AGE_MS,
        static_cast<int>(absl::ToInt64Milliseconds(options.max_connection_age)));
  }
  grpc::ResourceQuota quota(options.flag);
  quota.Resize(static_cast<size_t>(options.memory_bytes));
  builder->SetResourceQuota(quota);
}

// What TLS reloads shows up in handshakes within this time.
constexpr unsigned kTlsRefreshSeconds = 1;

std::shared_ptr<grpc::ServerCredentials> CredentialsOf(const RpcServerOptions& options) {
  if (options.tls == nullptr) return grpc::InsecureServerCredentials();
  const std::string identity = options.tls->identity_path();
  const std::string client_ca = options.tls->client_ca_path();
  grpc::experimental::TlsServerCredentialsOptions tls(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          identity, identity, client_ca, kTlsRefreshSeconds));
  tls.watch_identity_key_cert_pairs();
  if (!client_ca.empty()) {
    tls.watch_root_certs();
    tls.set_cert_request_type(options.require_client_certificate
                                  ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                  : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(tls);
}

}  // namespace

void RpcServer::Impl::Add(const char* name, std::unique_ptr<grpc::Service> service) {
  names.emplace_back(name);
  services.push_back(std::move(service));
}

void RpcServer::Impl::AddStandardServices() {
  using grpc::health::v1::Health;
  namespace reflection = grpc::reflection;
  health.Set("", true);
  health.Set(names.front(), true);
  health.Set(kLivenessName, true);
  Add(Health::service_full_name(), std::make_unique<HealthServiceImpl>(&health, &gate));
  if (!options.enable_reflection) return;
  std::vector<std::string> all = names;
  all.emplace_back(reflection::v1::ServerReflection::service_full_name());
  all.emplace_back(reflection::v1alpha::ServerReflection::service_full_name());
  Add(reflection::v1::ServerReflection::service_full_name(),
      std::make_unique<ReflectionV1>(all, &gate));
  Add(reflection::v1alpha::ServerReflection::service_full_name(),
      std::make_unique<ReflectionV1Alpha>(all, &gate));
}

absl::Status RpcServer::Impl::Listen(int64_t max_message_bytes, int chunk_bytes) {
  grpc::EnableDefaultHealthCheckService(false);
#if GOOGLE_PROTOBUF_VERSION < 4022000
  // It writes a line for each string that is not UTF-8: any caller could fill the log.
  google::protobuf::SetLogHandler(nullptr);
#endif
  AddStandardServices();
  grpc::ServerBuilder builder;
  SetLimits(options, max_message_bytes, &builder);
  if (chunk_bytes > 0) {
    // Else a chunk comes in frames of 16 KiB, each of them with its own work.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, chunk_bytes);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, chunk_bytes);
  }
  builder.AddListeningPort(options.address, CredentialsOf(options), &port);
  for (const auto& service : services) builder.RegisterService(service.get());
  builder.RegisterCallbackGenericService(&unknown);
  server = builder.BuildAndStart();
  if (server != nullptr && port != 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kUnavailable, reasons::kPortInUse, options.flag,
                   options.flag + ": cannot listen on " + options.address +
                       ": the port is in use or the address is not of this machine");
}

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options,
                                                            ServiceDeps deps) {
  const int64_t max_message_bytes = deps.limits.request.max_prompt_bytes + kMessageOverheadBytes;
  auto impl = std::make_unique<Impl>(options, deps.authenticator, deps.metrics);
  impl->Add(v1::GenerationService::service_full_name(),
            std::make_unique<GenerationServiceImpl>(std::move(deps), &impl->gate));
  RETURN_IF_ERROR(impl->Listen(max_message_bytes));
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(impl)));
}

RpcServer::RpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

RpcServer::~RpcServer() { Shutdown(absl::ZeroDuration()); }

int RpcServer::port() const { return impl_->port; }

const std::vector<std::string>& RpcServer::services() const { return impl_->names; }

void RpcServer::SetNotServing() {
  impl_->health.Set("", false);
  impl_->health.Set(impl_->names.front(), false);
}

void RpcServer::Shutdown(absl::Duration grace) {
  impl_->health.Close();
  impl_->server->Shutdown(absl::ToChronoTime(absl::Now() + grace));
}

}  // namespace lamella
