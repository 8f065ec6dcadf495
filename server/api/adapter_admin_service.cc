#include "server/api/adapter_admin_service.h"

#include <memory>
#include <utility>

#include "server/api/download_reactor.h"
#include "server/api/generate_reactor.h"
#include "server/api/receive.h"
#include "server/api/resource_names.h"
#include "server/api/status_mapping.h"
#include "server/api/upload_reactor.h"
#include "server/api/warm_reactor.h"
#include "server/api/watch_reactor.h"
#include "server/api/wire.h"

namespace lamella {
namespace {

constexpr int32_t kMaxUploads = 64;
constexpr int32_t kMaxTenantUploads = 16;

template <typename Message>
void Answer(const Arrived<Message>& arrived, const AdminDeps& deps, const TokenSigner& signer,
            grpc::ByteBuffer* out, grpc::ServerUnaryReactor* reactor) {
  const auto answer =
      Handle(arrived.message, {.call = &arrived.call, .deps = &deps, .signer = &signer});
  if (answer.ok()) *out = SerializeMessage(*answer);
  reactor->Finish(ToGrpcStatus(answer.status(), arrived.call.request_id));
}

}  // namespace

AdapterAdminServiceImpl::AdapterAdminServiceImpl(AdminDeps deps, const Gate* gate)
    : deps_(deps), gate_(gate), upload_slots_(kMaxUploads, kMaxTenantUploads) {}

template <typename Message>
grpc::ServerUnaryReactor* AdapterAdminServiceImpl::Here(Context* context, const Bytes& in,
                                                        Bytes* out) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto arrived = Receive<Message>(context, in, *gate_);
  if (arrived.status.ok()) {
    Answer(arrived, deps_, signer_, out, reactor);
  } else {
    reactor->Finish(ToGrpcStatus(arrived.status, arrived.call.request_id));
  }
  return reactor;
}

template <typename Message>
grpc::ServerUnaryReactor* AdapterAdminServiceImpl::OnWorker(Context* context, const Bytes& in,
                                                            Bytes* out) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  auto arrived = std::make_shared<Arrived<Message>>(Receive<Message>(context, in, *gate_));
  if (arrived->status.ok()) {
    deps_.workers->Post(
        [this, arrived, out, reactor] { Answer(*arrived, deps_, signer_, out, reactor); });
  } else {
    reactor->Finish(ToGrpcStatus(arrived->status, arrived->call.request_id));
  }
  return reactor;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* AdapterAdminServiceImpl::UploadAdapter(
    Context* context) {
  return UploadReactor::Start(context, deps_, *gate_, &upload_slots_);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* AdapterAdminServiceImpl::DownloadVersion(
    Context* context, const Bytes* in) {
  auto arrived = Receive<v1::DownloadVersionRequest>(context, *in, *gate_);
  if (!arrived.status.ok()) {
    return new RefusedReactor(ToGrpcStatus(arrived.status, arrived.call.request_id));
  }
  auto* reactor =
      WriteReactor::Make<DownloadReactor>(context, gate_->writes(), deps_, std::move(arrived.call));
  reactor->Start(arrived.message);
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* AdapterAdminServiceImpl::WatchAdapters(
    Context* context, const Bytes* in) {
  auto arrived = Receive<v1::WatchAdaptersRequest>(context, *in, *gate_);
  const std::string& request_id = arrived.call.request_id;
  if (!arrived.status.ok()) return new RefusedReactor(ToGrpcStatus(arrived.status, request_id));
  const auto parent = ParseTenantName("parent", arrived.message.parent(), arrived.call.caller);
  if (!parent.ok()) return new RefusedReactor(ToGrpcStatus(parent.status(), request_id));
  auto* reactor = WriteReactor::Make<WatchReactor>(context, gate_->writes(), deps_, &signer_,
                                                   parent->tenant, request_id);
  reactor->Start(arrived.message.resume_token());
  return reactor;
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::WarmVersion(Context* context, const Bytes* in,
                                                               Bytes* out) {
  auto arrived = Receive<v1::WarmVersionRequest>(context, *in, *gate_);
  if (!arrived.status.ok()) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(arrived.status, arrived.call.request_id));
    return reactor;
  }
  return WarmReactor::Start(deps_, std::move(arrived.call), arrived.message, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::GetAdapter(Context* context, const Bytes* in,
                                                              Bytes* out) {
  return Here<v1::GetAdapterRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::ListAdapters(Context* context, const Bytes* in,
                                                                Bytes* out) {
  return Here<v1::ListAdaptersRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::GetVersion(Context* context, const Bytes* in,
                                                              Bytes* out) {
  return Here<v1::GetVersionRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::ListVersions(Context* context, const Bytes* in,
                                                                Bytes* out) {
  return Here<v1::ListVersionsRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::GetTenantUsage(Context* context, const Bytes* in,
                                                                  Bytes* out) {
  return Here<v1::GetTenantUsageRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::ListMisfits(Context* context, const Bytes* in,
                                                               Bytes* out) {
  return OnWorker<v1::ListMisfitsRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::DeleteAdapter(Context* context, const Bytes* in,
                                                                 Bytes* out) {
  return OnWorker<v1::DeleteAdapterRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::DeleteVersion(Context* context, const Bytes* in,
                                                                 Bytes* out) {
  return OnWorker<v1::DeleteVersionRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::SetAlias(Context* context, const Bytes* in,
                                                            Bytes* out) {
  return OnWorker<v1::SetAliasRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::DeleteAlias(Context* context, const Bytes* in,
                                                               Bytes* out) {
  return OnWorker<v1::DeleteAliasRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::PinVersion(Context* context, const Bytes* in,
                                                              Bytes* out) {
  return OnWorker<v1::PinVersionRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::UnpinVersion(Context* context, const Bytes* in,
                                                                Bytes* out) {
  return OnWorker<v1::UnpinVersionRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::QuarantineVersion(Context* context,
                                                                     const Bytes* in, Bytes* out) {
  return OnWorker<v1::QuarantineVersionRequest>(context, *in, out);
}

grpc::ServerUnaryReactor* AdapterAdminServiceImpl::ReleaseVersion(Context* context, const Bytes* in,
                                                                  Bytes* out) {
  return OnWorker<v1::ReleaseVersionRequest>(context, *in, out);
}

}  // namespace lamella
