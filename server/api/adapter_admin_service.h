// lamella.v1.AdapterAdminService over the callback API. Questions are answered from memory on
// gRPC's threads; whatever blocks on the disk runs on the workers. Thread-safe; owned by the
// listener.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "absl/status/statusor.h"
#include "lamella/v1/adapter_admin.grpc.pb.h"
#include "server/api/admin_deps.h"
#include "server/api/admin_handlers.h"
#include "server/api/gate.h"
#include "server/api/token_signer.h"
#include "server/api/upload_slots.h"

namespace lamella {

// Raw: see wire.h. One wrapper for each method, innermost the generated service.
template <typename Base>
using RawReads = v1::AdapterAdminService::WithRawCallbackMethod_GetAdapter<
    v1::AdapterAdminService::WithRawCallbackMethod_ListAdapters<
        v1::AdapterAdminService::WithRawCallbackMethod_GetVersion<
            v1::AdapterAdminService::WithRawCallbackMethod_ListVersions<
                v1::AdapterAdminService::WithRawCallbackMethod_ListMisfits<
                    v1::AdapterAdminService::WithRawCallbackMethod_GetTenantUsage<Base>>>>>>;
template <typename Base>
using RawChanges = v1::AdapterAdminService::WithRawCallbackMethod_DeleteAdapter<
    v1::AdapterAdminService::WithRawCallbackMethod_DeleteVersion<
        v1::AdapterAdminService::WithRawCallbackMethod_SetAlias<
            v1::AdapterAdminService::WithRawCallbackMethod_DeleteAlias<Base>>>>;
template <typename Base>
using RawVersionChanges = v1::AdapterAdminService::WithRawCallbackMethod_WarmVersion<
    v1::AdapterAdminService::WithRawCallbackMethod_PinVersion<
        v1::AdapterAdminService::WithRawCallbackMethod_UnpinVersion<
            v1::AdapterAdminService::WithRawCallbackMethod_QuarantineVersion<
                v1::AdapterAdminService::WithRawCallbackMethod_ReleaseVersion<Base>>>>>;
template <typename Base>
using RawStreams = v1::AdapterAdminService::WithRawCallbackMethod_UploadAdapter<
    v1::AdapterAdminService::WithRawCallbackMethod_DownloadVersion<
        v1::AdapterAdminService::WithRawCallbackMethod_WatchAdapters<Base>>>;
using AdapterAdminServiceBase =
    RawReads<RawChanges<RawVersionChanges<RawStreams<v1::AdapterAdminService::Service>>>>;

class AdapterAdminServiceImpl final : public AdapterAdminServiceBase {
 public:
  // `gate` is borrowed.
  AdapterAdminServiceImpl(AdminDeps deps, const Gate* gate);

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  grpc::ServerBidiReactor<Bytes, Bytes>* UploadAdapter(Context* context) override;
  grpc::ServerWriteReactor<Bytes>* DownloadVersion(Context* context, const Bytes* in) override;
  grpc::ServerWriteReactor<Bytes>* WatchAdapters(Context* context, const Bytes* in) override;

  Unary* GetAdapter(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListAdapters(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetVersion(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListVersions(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListMisfits(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetTenantUsage(Context* context, const Bytes* in, Bytes* out) override;
  Unary* DeleteAdapter(Context* context, const Bytes* in, Bytes* out) override;
  Unary* DeleteVersion(Context* context, const Bytes* in, Bytes* out) override;
  Unary* SetAlias(Context* context, const Bytes* in, Bytes* out) override;
  Unary* DeleteAlias(Context* context, const Bytes* in, Bytes* out) override;
  Unary* WarmVersion(Context* context, const Bytes* in, Bytes* out) override;
  Unary* PinVersion(Context* context, const Bytes* in, Bytes* out) override;
  Unary* UnpinVersion(Context* context, const Bytes* in, Bytes* out) override;
  Unary* QuarantineVersion(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ReleaseVersion(Context* context, const Bytes* in, Bytes* out) override;

 private:
  // Handle(Message, AdminCall) on this thread, or on a worker.
  template <typename Message>
  Unary* Here(Context* context, const Bytes& in, Bytes* out);
  template <typename Message>
  Unary* OnWorker(Context* context, const Bytes& in, Bytes* out);

  const AdminDeps deps_;
  const Gate* const gate_;
  const TokenSigner signer_;
  UploadSlots upload_slots_;
};

}  // namespace lamella
