// The admin listener. Apart from the data listener, so that who serves no store links none.
#include "common/base/status_macros.h"
#include "server/api/adapter_admin_service.h"
#include "server/api/channelz_service.h"
#include "server/api/rpc_server_impl.h"
#include "server/api/upload_session.h"

namespace lamella {

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options,
                                                            AdminDeps deps) {
  auto impl = std::make_unique<Impl>(options, deps.authenticator, deps.metrics);
  impl->Add(v1::AdapterAdminService::service_full_name(),
            std::make_unique<AdapterAdminServiceImpl>(deps, &impl->gate));
  impl->Add(grpc::channelz::v1::Channelz::service_full_name(),
            std::make_unique<ChannelzServiceImpl>(&impl->gate));
  RETURN_IF_ERROR(impl->Listen(kMaxChunkBytes + kMessageOverheadBytes, kMaxChunkBytes));
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(impl)));
}

}  // namespace lamella
