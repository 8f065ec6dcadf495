// Opening a store, and every question.
#include "adapters_store/durable_adapter_store.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "adapters_store/catalogue_json.h"
#include "adapters_store/durable_store_impl.h"
#include "adapters_store/file_ops.h"
#include "adapters_store/local_blob_store.h"
#include "adapters_store/sqlite_catalogue.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

constexpr char kCatalogueFile[] = "/catalogue.sqlite";

absl::StatusOr<StorePorts> OpenPorts(const std::string& dir) {
  StorePorts ports;
  ASSIGN_OR_RETURN(ports.catalogue, SqliteCatalogue::Open(dir + kCatalogueFile));
  ASSIGN_OR_RETURN(ports.blobs, LocalBlobStore::Open(dir));
  return ports;
}

absl::Status NoStore(const char* why) {
  return MakeError(absl::StatusCode::kNotFound, reasons::kMissingFile, "store_dir", why);
}

void AddTo(const TenantState& state, StoreUsage* usage) {
  usage->weights_bytes += state.weights_bytes;
  usage->versions += state.versions;
  usage->adapters += static_cast<int64_t>(state.adapters.size());
}

}  // namespace

DurableAdapterStore::DurableAdapterStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DurableAdapterStore::~DurableAdapterStore() = default;

absl::StatusOr<std::unique_ptr<DurableAdapterStore>> DurableAdapterStore::Open(
    const DurableStoreOptions& options, const BaseSpec& base, const Clock* clock) {
  RETURN_IF_ERROR(MakeFolder(options.dir));
  ASSIGN_OR_RETURN(std::unique_ptr<StoreLock> lock, StoreLock::Take(options.dir));
  ASSIGN_OR_RETURN(StorePorts ports, OpenPorts(options.dir));
  ASSIGN_OR_RETURN(auto store, OpenOn(std::move(ports), options, base, clock));
  store->impl_->lock = std::move(lock);
  return store;
}

absl::StatusOr<std::unique_ptr<DurableAdapterStore>> DurableAdapterStore::OpenExisting(
    const DurableStoreOptions& options, const Clock* clock) {
  std::error_code ignored;
  if (!std::filesystem::exists(options.dir + kCatalogueFile, ignored)) {
    return NoStore("there is no store in this folder");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<StoreLock> lock, StoreLock::Take(options.dir));
  ASSIGN_OR_RETURN(StorePorts ports, OpenPorts(options.dir));
  ASSIGN_OR_RETURN(const std::vector<std::string> bases, ports.catalogue->ListBases());
  if (bases.empty()) return NoStore("the store has never served a base");
  ASSIGN_OR_RETURN(const BaseSpec base, BaseSpecFromJson(bases.front()));
  ASSIGN_OR_RETURN(auto store, OpenOn(std::move(ports), options, base, clock));
  store->impl_->lock = std::move(lock);
  return store;
}

absl::StatusOr<std::unique_ptr<DurableAdapterStore>> DurableAdapterStore::OpenOn(
    StorePorts ports, const DurableStoreOptions& options, const BaseSpec& base,
    const Clock* clock) {
  auto impl = std::make_unique<Impl>(std::move(ports), options, base, clock);
  RETURN_IF_ERROR(impl->Recover());
  return std::unique_ptr<DurableAdapterStore>(new DurableAdapterStore(std::move(impl)));
}

absl::StatusOr<StoredVersion> DurableAdapterStore::Resolve(std::string_view tenant,
                                                           std::string_view adapter_id,
                                                           std::string_view routing_key) const {
  ASSIGN_OR_RETURN(const AdapterId id, ParseAdapterId(adapter_id));
  MutexLock lock(&impl_->state_mutex);
  const auto owner = impl_->tenants.find(tenant);
  if (owner == impl_->tenants.end()) return AdapterNotFound(adapter_id);
  const auto adapter = owner->second.adapters.find(id.name);
  if (adapter == owner->second.adapters.end()) return AdapterNotFound(adapter_id);
  const VersionRow* row = adapter->second.Find(id, routing_key);
  if (row == nullptr) return AdapterNotFound(adapter_id);
  RETURN_IF_ERROR(Usable(*row, impl_->base.fingerprint));
  return ToStored(*row, id.alias);
}

std::vector<AdapterListing> DurableAdapterStore::List(std::string_view tenant) const {
  std::vector<AdapterListing> listings;
  MutexLock lock(&impl_->state_mutex);
  const auto owner = impl_->tenants.find(tenant);
  if (owner == impl_->tenants.end()) return listings;
  for (const auto& [name, adapter] : owner->second.adapters) {
    for (const auto& [digest, row] : adapter.versions) {
      std::vector<std::string> aliases = adapter.AliasesOf(digest);
      if (aliases.empty()) aliases.emplace_back();
      AdapterListing listing{.status = Usable(row, impl_->base.fingerprint)};
      for (const std::string& alias : aliases) {
        listing.version = listing.status.ok() ? ToStored(row, alias) : StoredVersion();
        listing.version.tenant = row.tenant;
        listing.version.name = row.name;
        listings.push_back(listing);
      }
    }
  }
  return listings;
}

absl::StatusOr<AdapterFiles> DurableAdapterStore::Open(const StoredVersion& version) const {
  std::string name;
  {
    MutexLock lock(&impl_->state_mutex);
    const auto owner = impl_->tenants.find(version.tenant);
    if (owner == impl_->tenants.end()) return AdapterNotFound(version.name);
    const auto names = owner->second.names_by_version.find(version.version);
    if (names == owner->second.names_by_version.end()) return AdapterNotFound(version.name);
    name = *names->second.begin();
  }
  const auto row = impl_->FindRow(version.tenant, name, version.version);
  if (!row) return AdapterNotFound(version.name);
  ASSIGN_OR_RETURN(const std::string config,
                   impl_->ports.catalogue->ReadConfig(version.tenant, name, version.version));
  AdapterFiles files;
  ASSIGN_OR_RETURN(files.config, ParsePeftConfig(config, impl_->options.limits.config));
  ASSIGN_OR_RETURN(auto file, impl_->ReadChecked({version.tenant, row->weights_sha256}, false));
  ASSIGN_OR_RETURN(files.weights,
                   SafetensorsFile::Open(std::move(file), impl_->options.limits.tensors));
  ASSIGN_OR_RETURN(files.validated, ValidateAdapter(files.config, *files.weights, impl_->base,
                                                    impl_->options.limits));
  return files;
}

absl::StatusOr<AdapterInfo> DurableAdapterStore::GetAdapter(std::string_view tenant,
                                                            std::string_view name) const {
  MutexLock lock(&impl_->state_mutex);
  const auto owner = impl_->tenants.find(tenant);
  if (owner == impl_->tenants.end()) return AdapterNotFound(name);
  const auto adapter = owner->second.adapters.find(name);
  if (adapter == owner->second.adapters.end()) return AdapterNotFound(name);
  return adapter->second.Info();
}

absl::StatusOr<VersionInfo> DurableAdapterStore::GetVersion(std::string_view tenant,
                                                            std::string_view name,
                                                            std::string_view version) const {
  MutexLock lock(&impl_->state_mutex);
  const auto owner = impl_->tenants.find(tenant);
  if (owner == impl_->tenants.end()) return AdapterNotFound(name);
  const auto adapter = owner->second.adapters.find(name);
  if (adapter == owner->second.adapters.end()) return AdapterNotFound(name);
  const auto found = adapter->second.versions.find(version);
  if (found == adapter->second.versions.end()) return AdapterNotFound(name);
  return adapter->second.Info(found->second, impl_->base.fingerprint);
}

std::vector<AdapterInfo> DurableAdapterStore::ListAdapters(std::string_view tenant,
                                                           std::string_view after,
                                                           size_t limit) const {
  std::vector<AdapterInfo> page;
  MutexLock lock(&impl_->state_mutex);
  const auto owner = impl_->tenants.find(tenant);
  if (owner == impl_->tenants.end()) return page;
  const auto& adapters = owner->second.adapters;
  for (auto at = adapters.upper_bound(after); at != adapters.end() && page.size() < limit; ++at) {
    page.push_back(at->second.Info());
  }
  return page;
}

absl::StatusOr<std::vector<VersionInfo>> DurableAdapterStore::ListVersions(std::string_view tenant,
                                                                           std::string_view name,
                                                                           std::string_view after,
                                                                           size_t limit) const {
  MutexLock lock(&impl_->state_mutex);
  const auto owner = impl_->tenants.find(tenant);
  if (owner == impl_->tenants.end()) return AdapterNotFound(name);
  const auto adapter = owner->second.adapters.find(name);
  if (adapter == owner->second.adapters.end()) return AdapterNotFound(name);
  std::vector<const VersionRow*> rows;
  for (const auto& [digest, row] : adapter->second.versions) rows.push_back(&row);
  std::ranges::stable_sort(rows, std::greater(), &VersionRow::created);
  auto first = rows.begin();
  if (!after.empty()) {
    first = std::ranges::find(rows, after, &VersionRow::version);
    if (first == rows.end()) return AdapterNotFound(name);
    ++first;
  }
  std::vector<VersionInfo> page;
  for (; first != rows.end() && page.size() < limit; ++first) {
    page.push_back(adapter->second.Info(**first, impl_->base.fingerprint));
  }
  return page;
}

StoreUsage DurableAdapterStore::UsageOf(std::string_view tenant) const {
  MutexLock lock(&impl_->state_mutex);
  StoreUsage usage;
  if (const auto found = impl_->tenants.find(tenant); found != impl_->tenants.end()) {
    AddTo(found->second, &usage);
  }
  const auto uploading = impl_->uploading_bytes.find(std::string(tenant));
  if (uploading != impl_->uploading_bytes.end()) usage.uploading_bytes = uploading->second;
  return usage;
}

StoreUsage DurableAdapterStore::UsageOfAll() const {
  MutexLock lock(&impl_->state_mutex);
  StoreUsage usage;
  for (const auto& [tenant, state] : impl_->tenants) AddTo(state, &usage);
  for (const auto& [tenant, bytes] : impl_->uploading_bytes) usage.uploading_bytes += bytes;
  return usage;
}

std::vector<std::string> DurableAdapterStore::Tenants() const {
  std::vector<std::string> names;
  MutexLock lock(&impl_->state_mutex);
  for (const auto& [tenant, state] : impl_->tenants) {
    if (!state.adapters.empty()) names.push_back(tenant);
  }
  return names;
}

std::vector<VersionInfo> DurableAdapterStore::PinnedVersions() const {
  std::vector<VersionInfo> pinned;
  MutexLock lock(&impl_->state_mutex);
  for (const auto& [tenant, state] : impl_->tenants) {
    for (const auto& [name, adapter] : state.adapters) {
      for (const auto& [digest, row] : adapter.versions) {
        if (row.pinned) pinned.push_back(adapter.Info(row, impl_->base.fingerprint));
      }
    }
  }
  return pinned;
}

std::vector<VersionInfo> DurableAdapterStore::MisfitVersions() const {
  std::vector<VersionInfo> misfits;
  MutexLock lock(&impl_->state_mutex);
  for (const auto& [tenant, state] : impl_->tenants) {
    for (const auto& [name, adapter] : state.adapters) {
      for (const auto& [digest, row] : adapter.versions) {
        VersionInfo info = adapter.Info(row, impl_->base.fingerprint);
        if (info.state == VersionState::kReady && !info.fits_base) misfits.push_back(info);
      }
    }
  }
  return misfits;
}

void DurableAdapterStore::SetChangeListener(std::function<void(const StoreChange&)> listener) {
  impl_->listener = std::move(listener);
}

}  // namespace lamella
