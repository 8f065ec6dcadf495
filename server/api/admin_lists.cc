// The lists of AdapterAdminService: pages by size and by bytes, tokens bound to what is listed.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/api/admin_conversion.h"
#include "server/api/admin_handlers.h"
#include "server/api/resource_names.h"

namespace lamella {
namespace {

constexpr size_t kDefaultPageSize = 100;
constexpr size_t kMaxPageSize = 1000;
// A page that is larger ends early: clients accept 4 MiB by default.
constexpr size_t kMaxPageBytes = size_t{1} << 20;

absl::StatusOr<size_t> PageSize(int32_t wanted) {
  if (wanted < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, "page_size",
                     absl::StrCat("page_size: must be at least 0, got ", wanted));
  }
  return wanted == 0 ? kDefaultPageSize : std::min(static_cast<size_t>(wanted), kMaxPageSize);
}

absl::Status BadPageToken() {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidPageToken, "page_token",
                   "page_token: is not one of this server for this list");
}

// Where the page begins: after this; "" is the first page.
absl::StatusOr<std::string> After(const std::string& token, const std::string& purpose,
                                  const AdminCall& call) {
  if (token.empty()) return std::string();
  auto after = call.signer->Open(purpose, token);
  if (!after.has_value()) return BadPageToken();
  return *std::move(after);
}

// Collects one page and knows when it is full.
template <typename Entry>
class Page {
 public:
  Page(size_t size, google::protobuf::RepeatedPtrField<Entry>* entries)
      : size_(size), entries_(entries) {}

  bool full() const {
    return static_cast<size_t>(entries_->size()) >= size_ || bytes_ >= kMaxPageBytes;
  }
  void Add(Entry entry) {
    bytes_ += entry.ByteSizeLong();
    *entries_->Add() = std::move(entry);
  }

 private:
  const size_t size_;
  google::protobuf::RepeatedPtrField<Entry>* const entries_;
  size_t bytes_ = 0;
};

bool InState(const VersionInfo& info, v1::VersionState wanted) {
  switch (wanted) {
    case v1::VERSION_STATE_UNSPECIFIED:
      return true;
    case v1::VERSION_STATE_READY:
      return info.state == VersionState::kReady;
    case v1::VERSION_STATE_QUARANTINED:
      return info.state == VersionState::kQuarantined;
    default:
      return false;
  }
}

std::string SortKey(const VersionInfo& info) {
  return VersionName(info.version.tenant, info.version.name, info.version.version);
}

}  // namespace

absl::StatusOr<v1::ListAdaptersResponse> Handle(const v1::ListAdaptersRequest& request,
                                                const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName parent,
                   ParseTenantName("parent", request.parent(), call.caller()));
  ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size()));
  const std::string purpose = absl::StrCat("adapters:", parent.tenant);
  ASSIGN_OR_RETURN(const std::string after, After(request.page_token(), purpose, call));
  v1::ListAdaptersResponse response;
  Page page(size, response.mutable_adapters());
  std::string last;
  // One more than fits says whether there is a next page.
  for (const AdapterInfo& info : call.deps->store->ListAdapters(parent.tenant, after, size + 1)) {
    if (page.full()) {
      response.set_next_page_token(call.signer->Seal(purpose, last));
      break;
    }
    last = info.name;
    page.Add(ToProto(info));
  }
  return response;
}

absl::StatusOr<v1::ListVersionsResponse> Handle(const v1::ListVersionsRequest& request,
                                                const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName parent,
                   ParseAdapterName("parent", request.parent(), call.caller()));
  ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size()));
  const std::string purpose =
      absl::StrCat("versions:", parent.tenant, "/", parent.adapter, "/", request.state());
  ASSIGN_OR_RETURN(std::string last, After(request.page_token(), purpose, call));
  v1::ListVersionsResponse response;
  Page page(size, response.mutable_versions());
  for (;;) {
    auto versions =
        call.deps->store->ListVersions(parent.tenant, parent.adapter, last, kMaxPageSize);
    // The token's version was deleted meanwhile, if it is not the adapter that was.
    if (!versions.ok() && !last.empty() &&
        call.deps->store->GetAdapter(parent.tenant, parent.adapter).ok()) {
      return BadPageToken();
    }
    RETURN_IF_ERROR(versions.status());
    for (const VersionInfo& info : *versions) {
      if (page.full()) {
        response.set_next_page_token(call.signer->Seal(purpose, last));
        return response;
      }
      last = info.version.version;
      if (InState(info, request.state())) page.Add(ToProto(info, *call.deps->residency));
    }
    if (versions->size() < kMaxPageSize) return response;
  }
}

absl::StatusOr<v1::ListMisfitsResponse> Handle(const v1::ListMisfitsRequest& request,
                                               const AdminCall& call) {
  ASSIGN_OR_RETURN(const ResourceName parent,
                   ParseTenantName("parent", request.parent(), call.caller()));
  ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size()));
  const std::string purpose = absl::StrCat("misfits:", parent.tenant);
  ASSIGN_OR_RETURN(std::string last, After(request.page_token(), purpose, call));
  std::vector<VersionInfo> misfits = call.deps->store->MisfitVersions();
  std::erase_if(misfits, [&](const VersionInfo& info) {
    return info.version.tenant != parent.tenant || SortKey(info) <= last;
  });
  std::ranges::sort(misfits, {}, SortKey);
  v1::ListMisfitsResponse response;
  Page page(size, response.mutable_versions());
  for (const VersionInfo& info : misfits) {
    if (page.full()) {
      response.set_next_page_token(call.signer->Seal(purpose, last));
      break;
    }
    last = SortKey(info);
    page.Add(ToProto(info, *call.deps->residency));
  }
  return response;
}

}  // namespace lamella
