#include "adapters_store/durable_store_impl.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters_store/catalogue_json.h"
#include "adapters_store/file_ops.h"
#include "common/base/error.h"
#include "common/base/fail_point.h"
#include "common/base/logging.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"

namespace lamella {
namespace {

constexpr size_t kPage = 1000;
constexpr size_t kMaxRefusals = 1000;  // beyond it the oldest are forgotten

// What differs between two states of an adapter, for the catalogue and for those who watch.
void Compare(const AdapterState* before, const AdapterState* after, CatalogueChange* change,
             std::vector<StoreChange>* events) {
  const auto tell = [&](ChangeKind kind, const std::string& version) {
    events->push_back({kind, change->tenant, change->name, version});
  };
  static const decltype(AdapterState::versions) kNone;
  const auto& old_versions = before == nullptr ? kNone : before->versions;
  const auto& new_versions = after == nullptr ? kNone : after->versions;
  for (const auto& [digest, row] : new_versions) {
    const auto old = old_versions.find(digest);
    if (old != old_versions.end() && old->second == row) continue;
    change->versions.push_back(row);
    tell(old == old_versions.end() ? ChangeKind::kCreated : ChangeKind::kChanged, digest);
  }
  for (const auto& [digest, row] : old_versions) {
    if (new_versions.contains(digest)) continue;
    change->removed.push_back(digest);
    tell(ChangeKind::kDeleted, digest);
  }
  tell(before == nullptr  ? ChangeKind::kCreated
       : after == nullptr ? ChangeKind::kDeleted
                          : ChangeKind::kChanged,
       "");
}

absl::Status Lost(const char* reason, const char* what) {
  return MakeError(absl::StatusCode::kDataLoss, reason, "adapter_id",
                   absl::StrCat("the adapter's weights file ", what));
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoreLock>> StoreLock::Take(const std::string& dir) {
  const int fd = open((dir + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("open its lock", errno);
  std::unique_ptr<StoreLock> lock(new StoreLock(fd));
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
  return MakeError(absl::StatusCode::kFailedPrecondition, reasons::kStoreLocked, "store_dir",
                   "another process has this store; stop it, or use another folder");
}

StoreLock::~StoreLock() { close(fd_); }

DurableAdapterStore::Impl::Impl(StorePorts store_ports, const DurableStoreOptions& store_options,
                                const BaseSpec& served, const Clock* store_clock)
    : options(store_options), base(served), clock(store_clock), ports(std::move(store_ports)) {}

DurableAdapterStore::Impl::~Impl() {
  const absl::Status flushed = FlushRefusals();
  if (!flushed.ok()) {
    LogWarning("refusals not audited", {{"reason", ErrorReason(flushed)}});
  }
}

absl::Status DurableAdapterStore::Impl::Recover() {
  RETURN_IF_ERROR(ports.catalogue->PutBase(base.fingerprint, BaseSpecToJson(base), clock->Now()));
  RETURN_IF_ERROR(Load());
  return CheckBlobs();
}

absl::Status DurableAdapterStore::Impl::Load() {
  MutexLock lock_state(&state_mutex);
  std::map<std::pair<std::string, std::string>, AdapterState> loaded;
  AdapterRow after;
  for (bool more = true; more;) {
    ASSIGN_OR_RETURN(const auto page,
                     ports.catalogue->ListAdapters(after.tenant, after.name, kPage));
    for (const AdapterRow& row : page) loaded[{row.tenant, row.name}].row = row;
    more = page.size() == kPage;
    if (!page.empty()) after = page.back();
  }
  VersionRow last;
  for (bool more = true; more;) {
    ASSIGN_OR_RETURN(const auto page, ports.catalogue->ListVersions(last, kPage));
    for (const VersionRow& row : page) {
      loaded[{row.tenant, row.name}].versions.emplace(row.version, row);
    }
    more = page.size() == kPage;
    if (!page.empty()) last = page.back();
  }
  for (const auto& [key, state] : loaded) tenants[key.first].Put(key.second, &state);
  return absl::OkStatus();
}

// Rows whose blob is not there or has another size.
absl::Status DurableAdapterStore::Impl::CheckBlobs() {
  std::map<BlobKey, uint64_t> expected;
  {
    MutexLock lock_state(&state_mutex);
    for (const auto& [tenant, state] : tenants) {
      for (const auto& [name, adapter] : state.adapters) {
        for (const auto& [digest, row] : adapter.versions) {
          if (row.state != VersionState::kReady) continue;
          expected[{tenant, row.weights_sha256}] = row.weights_bytes;
        }
      }
    }
  }
  for (const auto& [key, bytes] : expected) {
    const auto size = ports.blobs->Size(key);
    if (ErrorReason(size.status()) == reasons::kMissingFile) {
      QuarantineBlob(key, Lost(reasons::kMissingFile, "is gone"));
      continue;
    }
    RETURN_IF_ERROR(size.status());
    if (*size != bytes) QuarantineBlob(key, Lost(reasons::kDigestMismatch, "has another size"));
  }
  return absl::OkStatus();
}

AuditRow DurableAdapterStore::Impl::MakeAudit(const ChangeRequest& request,
                                              std::string_view result) const {
  AuditRow row{.tenant = request.tenant};
  row.entry.time = clock->Now();
  row.entry.actor = request.actor;
  row.entry.action = request.action;
  row.entry.target = absl::StrCat("tenants/", request.tenant);
  if (!request.name.empty()) absl::StrAppend(&row.entry.target, "/adapters/", request.name);
  if (!request.version.empty()) absl::StrAppend(&row.entry.target, "/versions/", request.version);
  row.entry.result = result;
  return row;
}

absl::StatusOr<AdapterInfo> DurableAdapterStore::Impl::Change(const ChangeRequest& request,
                                                              const Edit& edit) {
  std::vector<StoreChange> events;
  absl::StatusOr<AdapterInfo> changed;
  {
    MutexLock lock_change(&change_mutex);
    changed = ChangeLocked(request, false, edit, &events);
  }
  if (!changed.ok()) NoteRefusal(request, changed.status());
  Notify(events);
  return changed;
}

absl::StatusOr<AdapterInfo> DurableAdapterStore::Impl::ChangeLocked(
    const ChangeRequest& request, bool may_create, const Edit& edit,
    std::vector<StoreChange>* events) {
  std::optional<AdapterState> before;
  {
    MutexLock lock_state(&state_mutex);
    const auto tenant = tenants.find(request.tenant);
    if (tenant != tenants.end()) {
      const auto adapter = tenant->second.adapters.find(request.name);
      if (adapter != tenant->second.adapters.end()) before = adapter->second;
    }
  }
  if (!before && !may_create) return AdapterNotFound(request.name);
  if (!request.etag.empty() && request.etag != absl::StrCat(before ? before->row.revision : 0)) {
    return MakeError(absl::StatusCode::kAborted, reasons::kEtagMismatch, "etag",
                     "the adapter has changed since its etag was read");
  }
  PendingChange pending{.state = before};
  RETURN_IF_ERROR(edit(&pending));
  CatalogueChange change{.tenant = request.tenant, .name = request.name};
  change.expected_revision = before ? before->row.revision : 0;
  change.audit = MakeAudit(request, "OK");
  if (pending.state) {
    pending.state->row.updated = change.audit.entry.time;
    change.adapter = pending.state->row;
  }
  change.config_json = std::move(pending.config_json);
  change.request = std::move(pending.request);
  std::vector<StoreChange> happened;
  Compare(before ? &*before : nullptr, pending.state ? &*pending.state : nullptr, &change,
          &happened);
  ASSIGN_OR_RETURN(const int64_t revision, ports.catalogue->Commit(change));
  if (pending.state) pending.state->row.revision = revision;
  {
    MutexLock lock_state(&state_mutex);
    tenants[request.tenant].Put(request.name, pending.state ? &*pending.state : nullptr);
  }
  events->insert(events->end(), happened.begin(), happened.end());
  return pending.state ? pending.state->Info() : AdapterInfo();
}

void DurableAdapterStore::Impl::Notify(const std::vector<StoreChange>& events) const {
  if (!listener) return;
  for (const StoreChange& event : events) listener(event);
}

void DurableAdapterStore::Impl::NoteRefusal(const ChangeRequest& request,
                                            const absl::Status& status) {
  const std::string reason = ErrorReason(status);
  AuditRow row =
      MakeAudit(request, reason.empty() ? absl::StatusCodeToString(status.code()) : reason);
  MutexLock lock_state(&state_mutex);
  if (refusals.size() == kMaxRefusals) refusals.erase(refusals.begin());
  refusals.push_back(std::move(row));
}

absl::Status DurableAdapterStore::Impl::FlushRefusals() {
  std::vector<AuditRow> rows;
  {
    MutexLock lock_state(&state_mutex);
    rows.swap(refusals);
  }
  return rows.empty() ? absl::OkStatus() : ports.catalogue->AddAudit(rows);
}

void DurableAdapterStore::Impl::QuarantineBlob(const BlobKey& key, const absl::Status& why) {
  std::vector<std::pair<std::string, std::string>> hit;  // name, version
  {
    MutexLock lock_state(&state_mutex);
    verified.erase(key);
    const auto tenant = tenants.find(key.tenant);
    if (tenant == tenants.end()) return;
    for (const auto& [name, adapter] : tenant->second.adapters) {
      for (const auto& [digest, row] : adapter.versions) {
        const bool ready = row.state == VersionState::kReady;
        if (ready && row.weights_sha256 == key.sha256) hit.emplace_back(name, digest);
      }
    }
  }
  for (const auto& item : hit) {
    const std::string &name = item.first, &version = item.second;
    const ChangeRequest request{key.tenant, name, version, "", "quarantine", "store"};
    const auto changed = Change(request, [&](PendingChange* pending) {
      const auto found = pending->state->versions.find(version);
      if (found == pending->state->versions.end()) return AdapterNotFound(name);
      found->second.state = VersionState::kQuarantined;
      found->second.quarantine_reason = ErrorReason(why);
      return absl::OkStatus();
    });
    LogError("adapter version quarantined", {{"target", MakeAudit(request, "").entry.target},
                                             {"reason", ErrorReason(why)},
                                             {"recorded", changed.ok() ? "yes" : "no"}});
  }
}

absl::StatusOr<std::shared_ptr<const MappedFile>> DurableAdapterStore::Impl::ReadChecked(
    const BlobKey& key, bool always) {
  auto file = ports.blobs->Read(key, options.limits.tensors.max_file_bytes);
  // Nothing is known of a blob that could not be read just now.
  if (absl::IsUnavailable(file.status()) || absl::IsResourceExhausted(file.status())) {
    return file.status();
  }
  if (!file.ok()) {
    const bool gone = ErrorReason(file.status()) == reasons::kMissingFile;
    const absl::Status lost = gone ? Lost(reasons::kMissingFile, "is gone")
                                   : Lost(reasons::kDigestMismatch, "is not what was stored");
    QuarantineBlob(key, lost);
    return lost;
  }
  if (!always) {
    MutexLock lock_state(&state_mutex);
    const auto known = verified.find(key);
    if (known != verified.end() && known->second == (*file)->stamp()) return file;
  }
  if (Sha256Hex((*file)->bytes()) != key.sha256) {
    const absl::Status lost = Lost(reasons::kDigestMismatch, "is not what was stored");
    QuarantineBlob(key, lost);
    return lost;
  }
  MutexLock lock_state(&state_mutex);
  verified[key] = (*file)->stamp();
  return file;
}

std::optional<VersionRow> DurableAdapterStore::Impl::FindRow(std::string_view tenant,
                                                             std::string_view name,
                                                             std::string_view version) const {
  MutexLock lock_state(&state_mutex);
  const auto owner = tenants.find(tenant);
  if (owner == tenants.end()) return std::nullopt;
  const auto adapter = owner->second.adapters.find(name);
  if (adapter == owner->second.adapters.end()) return std::nullopt;
  const auto found = adapter->second.versions.find(version);
  if (found == adapter->second.versions.end()) return std::nullopt;
  return found->second;
}

}  // namespace lamella
