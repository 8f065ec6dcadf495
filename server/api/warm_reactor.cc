#include "server/api/warm_reactor.h"

#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/api/admin_conversion.h"
#include "server/api/resource_names.h"
#include "server/api/status_mapping.h"
#include "server/api/wire.h"

namespace lamella {

WarmReactor::WarmReactor(const AdminDeps& deps, CallContext call, grpc::ByteBuffer* response)
    : deps_(deps), call_(std::move(call)), response_(response) {}

WarmReactor* WarmReactor::Start(const AdminDeps& deps, CallContext call,
                                const v1::WarmVersionRequest& request, grpc::ByteBuffer* response) {
  auto reactor = std::make_shared<WarmReactor>(deps, std::move(call), response);
  reactor->self_ = reactor;
  reactor->Load(request);
  return reactor.get();
}

void WarmReactor::Load(const v1::WarmVersionRequest& request) {
  const auto name = ParseVersionName("name", request.name(), call_.caller);
  if (!name.ok()) return End(name.status());
  const auto info = deps_.store->GetVersion(name->tenant, name->adapter, name->version);
  if (!info.ok()) return End(info.status());
  const AdapterRef ref = RefOf(info->version);
  // The callback may come under anybody's thread and must not block: a worker goes on.
  deps_.residency->RequestLoad(ref, [self = shared_from_this(), ref] {
    self->deps_.workers->Post([self, ref] { self->Settled(ref); });
  });
}

void WarmReactor::Settled(const AdapterRef& ref) {
  // The pin counts as the first use and dies here: an answered caller finds nothing pinned for it.
  const absl::Status resident = deps_.residency->TryPin(ref).status();
  if (!resident.ok()) return End(resident);
  const auto info = deps_.store->GetVersion(ref.tenant, ref.name, ref.version);
  if (!info.ok()) return End(info.status());
  v1::WarmVersionResponse response;
  *response.mutable_version() = ToProto(*info, *deps_.residency);
  if (!Claim()) return;
  *response_ = SerializeMessage(response);
  Finish(grpc::Status::OK);
}

bool WarmReactor::Claim() {
  MutexLock lock(&mutex_);
  return !std::exchange(ended_, true);
}

void WarmReactor::End(const absl::Status& status) {
  if (Claim()) Finish(ToGrpcStatus(status, call_.request_id));
}

void WarmReactor::OnCancel() {
  End(MakeError(absl::StatusCode::kCancelled, reasons::kCancelled, "", "the call was cancelled"));
}

void WarmReactor::OnDone() { const auto last = std::move(self_); }

}  // namespace lamella
