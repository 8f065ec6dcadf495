#include "client/admin_client.h"

#include <utility>

#include "client/admin_conversion.h"
#include "client/admin_files.h"
#include "client/call.h"
#include "client/conversion.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "lamella/v1/adapter_admin.grpc.pb.h"

namespace lamella::client {
namespace {

constexpr int32_t kPageSize = 1000;

using Stub = v1::AdapterAdminService::Stub;

}  // namespace

struct AdminClient::Impl {
  AdminOptions options;
  std::unique_ptr<Stub> stub;

  std::string Tenant() const { return "tenants/" + options.tenant; }
  std::string Name(const std::string& adapter) const { return Tenant() + "/adapters/" + adapter; }
  std::string Name(const std::string& adapter, const std::string& version) const {
    return Name(adapter) + "/versions/" + version;
  }
  void Prepare(grpc::ClientContext* context) const {
    client::Prepare(options.timeout, options.key, context);
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) const {
    grpc::ClientContext context;
    Prepare(&context);
    Response response;
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  // A method whose request is a version's name and whose response is that version.
  template <typename Request, typename Response>
  absl::StatusOr<Version> OnVersion(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                 const Request&, Response*),
                                    const std::string& adapter, const std::string& version,
                                    Request request = {}) const {
    request.set_name(Name(adapter, version));
    ASSIGN_OR_RETURN(const Response response, Call(method, request));
    return FromProto(response.version());
  }

  // Every page of a list of versions.
  template <typename Request, typename Response>
  absl::StatusOr<std::vector<Version>> AllVersions(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      const std::string& parent) const {
    std::vector<Version> versions;
    Request request;
    request.set_parent(parent);
    request.set_page_size(kPageSize);
    do {
      ASSIGN_OR_RETURN(const Response response, Call(method, request));
      for (const auto& version : response.versions()) versions.push_back(FromProto(version));
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return versions;
  }
};

AdminClient::AdminClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminClient::~AdminClient() = default;

absl::StatusOr<std::unique_ptr<AdminClient>> AdminClient::Connect(const AdminOptions& options) {
  ASSIGN_OR_RETURN(const auto channel, MakeChannel("admin", options.admin, options.tls));
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->stub = v1::AdapterAdminService::NewStub(channel);
  return std::unique_ptr<AdminClient>(new AdminClient(std::move(impl)));
}

absl::StatusOr<UploadResult> AdminClient::Upload(const UploadOptions& options,
                                                 const OnProgress& on_progress) {
  ASSIGN_OR_RETURN(AdapterFolder folder, AdapterFolder::Open(options.dir));
  grpc::ClientContext context;
  impl_->Prepare(&context);
  v1::UploadAdapterRequest first;
  v1::UploadHeader* header = first.mutable_header();
  header->set_adapter(impl_->Name(options.adapter));
  header->set_alias(options.alias);
  header->mutable_labels()->insert(options.labels.begin(), options.labels.end());
  header->set_weights_sha256(options.weights_sha256);
  header->set_base_fingerprint(options.base_fingerprint);
  header->set_allow_other_base(options.allow_other_base);
  header->set_validate_only(options.validate_only);
  header->set_request_id(options.request_id);
  return SendFolder(impl_->stub->UploadAdapter(&context), &context, std::move(first), &folder,
                    on_progress);
}

absl::StatusOr<std::vector<Adapter>> AdminClient::ListAdapters() {
  std::vector<Adapter> adapters;
  v1::ListAdaptersRequest request;
  request.set_parent(impl_->Tenant());
  request.set_page_size(kPageSize);
  do {
    ASSIGN_OR_RETURN(const auto response, impl_->Call(&Stub::ListAdapters, request));
    for (const auto& adapter : response.adapters()) adapters.push_back(FromProto(adapter));
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return adapters;
}

absl::StatusOr<Adapter> AdminClient::GetAdapter(const std::string& adapter) {
  v1::GetAdapterRequest request;
  request.set_name(impl_->Name(adapter));
  ASSIGN_OR_RETURN(const auto response, impl_->Call(&Stub::GetAdapter, request));
  return FromProto(response.adapter());
}

absl::StatusOr<std::vector<Version>> AdminClient::ListVersions(const std::string& adapter) {
  return impl_->AllVersions(&Stub::ListVersions, impl_->Name(adapter));
}

absl::StatusOr<std::vector<Version>> AdminClient::ListMisfits() {
  return impl_->AllVersions(&Stub::ListMisfits, impl_->Tenant());
}

absl::StatusOr<TenantUsage> AdminClient::GetTenantUsage() {
  v1::GetTenantUsageRequest request;
  request.set_name(impl_->Tenant());
  ASSIGN_OR_RETURN(const auto response, impl_->Call(&Stub::GetTenantUsage, request));
  return FromProto(response);
}

absl::StatusOr<Version> AdminClient::GetVersion(const std::string& adapter,
                                                const std::string& version) {
  return impl_->OnVersion(&Stub::GetVersion, adapter, version);
}

absl::StatusOr<Adapter> AdminClient::SetAlias(const std::string& adapter, const Alias& alias,
                                              const std::string& etag) {
  v1::SetAliasRequest request;
  request.set_name(impl_->Name(adapter));
  request.set_etag(etag);
  SetTarget(alias, &request);
  ASSIGN_OR_RETURN(const auto response, impl_->Call(&Stub::SetAlias, request));
  return FromProto(response.adapter());
}

absl::StatusOr<Adapter> AdminClient::DeleteAlias(const std::string& adapter,
                                                 const std::string& alias,
                                                 const std::string& etag) {
  v1::DeleteAliasRequest request;
  request.set_name(impl_->Name(adapter));
  request.set_alias(alias);
  request.set_etag(etag);
  ASSIGN_OR_RETURN(const auto response, impl_->Call(&Stub::DeleteAlias, request));
  return FromProto(response.adapter());
}

absl::Status AdminClient::DeleteAdapter(const std::string& adapter, const std::string& etag,
                                        bool force) {
  v1::DeleteAdapterRequest request;
  request.set_name(impl_->Name(adapter));
  request.set_etag(etag);
  request.set_force(force);
  return impl_->Call(&Stub::DeleteAdapter, request).status();
}

absl::Status AdminClient::DeleteVersion(const std::string& adapter, const std::string& version,
                                        const std::string& etag, bool force) {
  v1::DeleteVersionRequest request;
  request.set_name(impl_->Name(adapter, version));
  request.set_etag(etag);
  request.set_force(force);
  return impl_->Call(&Stub::DeleteVersion, request).status();
}

absl::StatusOr<Version> AdminClient::Warm(const std::string& adapter, const std::string& version) {
  return impl_->OnVersion(&Stub::WarmVersion, adapter, version);
}

absl::StatusOr<Version> AdminClient::Pin(const std::string& adapter, const std::string& version) {
  return impl_->OnVersion(&Stub::PinVersion, adapter, version);
}

absl::StatusOr<Version> AdminClient::Unpin(const std::string& adapter, const std::string& version) {
  return impl_->OnVersion(&Stub::UnpinVersion, adapter, version);
}

absl::StatusOr<Version> AdminClient::Quarantine(const std::string& adapter,
                                                const std::string& version,
                                                const std::string& reason) {
  v1::QuarantineVersionRequest request;
  request.set_reason(reason);
  return impl_->OnVersion(&Stub::QuarantineVersion, adapter, version, std::move(request));
}

absl::StatusOr<Version> AdminClient::Release(const std::string& adapter,
                                             const std::string& version) {
  return impl_->OnVersion(&Stub::ReleaseVersion, adapter, version);
}

absl::Status AdminClient::Watch(const std::string& resume_token, const OnEvent& on_event) {
  grpc::ClientContext context;
  impl_->Prepare(&context);
  v1::WatchAdaptersRequest request;
  request.set_parent(impl_->Tenant());
  request.set_resume_token(resume_token);
  const auto reader = impl_->stub->WatchAdapters(&context, request);
  v1::WatchAdaptersResponse event;
  while (reader->Read(&event)) {
    if (on_event(FromProto(event))) continue;
    context.TryCancel();
    reader->Finish();
    return absl::OkStatus();
  }
  return FromGrpc(reader->Finish());
}

absl::StatusOr<Version> AdminClient::Download(const std::string& adapter,
                                              const std::string& version, const std::string& dir) {
  grpc::ClientContext context;
  impl_->Prepare(&context);
  v1::DownloadVersionRequest request;
  request.set_name(impl_->Name(adapter, version));
  return ReceiveFolder(impl_->stub->DownloadVersion(&context, request), &context, dir);
}

}  // namespace lamella::client
