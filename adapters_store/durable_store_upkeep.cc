// DurableAdapterStore's upkeep: export, garbage, scrub, audit log, erase.
#include <set>
#include <utility>

#include "adapters_store/durable_store_impl.h"
#include "common/base/fail_point.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

constexpr size_t kPage = 1000;
constexpr absl::Duration kRequestMemory = absl::Hours(24 * 7);

}  // namespace

absl::StatusOr<DurableAdapterStore::ExportedVersion> DurableAdapterStore::Export(
    std::string_view tenant, std::string_view name, std::string_view version) const {
  const auto row = impl_->FindRow(tenant, name, version);
  if (!row) return AdapterNotFound(name);
  ExportedVersion exported;
  ASSIGN_OR_RETURN(exported.config_json,
                   impl_->ports.catalogue->ReadConfig(row->tenant, row->name, row->version));
  ASSIGN_OR_RETURN(exported.weights, impl_->ReadChecked({row->tenant, row->weights_sha256}, false));
  return exported;
}

absl::StatusOr<uint64_t> DurableAdapterStore::CollectGarbage() {
  const absl::Time now = impl_->clock->Now();
  RETURN_IF_ERROR(impl_->FlushRefusals());
  RETURN_IF_ERROR(impl_->ports.catalogue->ForgetRequests(now - kRequestMemory));
  // Blobs that a crash left before their commit: their grace begins when they are first seen.
  BlobKey after;
  for (bool more = true; more;) {
    MutexLock lock(&impl_->change_mutex);
    ASSIGN_OR_RETURN(const auto found, impl_->ports.blobs->List(after, kPage));
    ASSIGN_OR_RETURN(const auto known, impl_->ports.catalogue->ListBlobs(after, 2 * kPage));
    std::set<BlobKey> rows;
    for (const BlobRow& row : known) rows.insert(row.key);
    for (const BlobKey& key : found) {
      const bool beyond = known.size() == 2 * kPage && key > known.back().key;
      if (rows.contains(key) || beyond) continue;
      RETURN_IF_ERROR(impl_->ports.catalogue->NoteBlob({key, now, now}));
    }
    more = found.size() == kPage;
    if (more) after = found.back();
  }
  uint64_t freed = 0;
  after = {};
  for (bool more = true; more;) {
    // Under the lock no upload can come to need what is removed here.
    MutexLock lock(&impl_->change_mutex);
    ASSIGN_OR_RETURN(const auto rows, impl_->ports.catalogue->ListBlobs(after, kPage));
    for (const BlobRow& row : rows) {
      if (!row.unreferenced || *row.unreferenced + impl_->options.garbage_grace > now) continue;
      const auto size = impl_->ports.blobs->Size(row.key);
      RETURN_IF_ERROR(impl_->ports.blobs->Delete(row.key));
      FailPoint("store.garbage.deleted");
      RETURN_IF_ERROR(impl_->ports.catalogue->ForgetBlob(row.key));
      freed += size.ok() ? *size : 0;
      MutexLock lock_state(&impl_->state_mutex);
      impl_->verified.erase(row.key);
    }
    more = rows.size() == kPage;
    if (more) after = rows.back().key;
  }
  return freed;
}

absl::StatusOr<bool> DurableAdapterStore::ScrubOne() {
  ASSIGN_OR_RETURN(const auto oldest, impl_->ports.catalogue->OldestVerified());
  if (!oldest) return false;
  const auto file = impl_->ReadChecked(oldest->key, true);
  if (!file.ok() && file.status().code() != absl::StatusCode::kDataLoss) return file.status();
  RETURN_IF_ERROR(impl_->ports.catalogue->SetVerified(oldest->key, impl_->clock->Now()));
  return true;
}

absl::StatusOr<std::vector<AuditEntry>> DurableAdapterStore::AuditLog(std::string_view tenant,
                                                                      size_t limit) const {
  RETURN_IF_ERROR(impl_->FlushRefusals());
  return impl_->ports.catalogue->ListAudit(tenant, limit);
}

absl::Status DurableAdapterStore::EraseTenant(std::string_view tenant, const Actor& actor) {
  const std::string owner(tenant);
  std::vector<StoreChange> events;
  const ChangeRequest request{owner, "", "", "", "erase-tenant", actor.name};
  {
    MutexLock lock(&impl_->change_mutex);
    RETURN_IF_ERROR(impl_->FlushRefusals());
    RETURN_IF_ERROR(impl_->ports.catalogue->EraseTenant(owner, impl_->MakeAudit(request, "OK")));
    {
      MutexLock lock_state(&impl_->state_mutex);
      for (const auto& [name, adapter] : impl_->tenants[owner].adapters) {
        for (const auto& [digest, row] : adapter.versions) {
          events.push_back({ChangeKind::kDeleted, owner, name, digest});
        }
        events.push_back({ChangeKind::kDeleted, owner, name, ""});
      }
      impl_->tenants.erase(owner);
      std::erase_if(impl_->verified, [&](const auto& item) { return item.first.tenant == owner; });
    }
    // Also what an erasure that was interrupted has left.
    BlobKey after{.tenant = owner};
    for (bool more = true; more;) {
      ASSIGN_OR_RETURN(const auto blobs, impl_->ports.blobs->List(after, kPage));
      more = false;
      for (const BlobKey& key : blobs) {
        if (key.tenant != owner) break;
        RETURN_IF_ERROR(impl_->ports.blobs->Delete(key));
        more = &key == &blobs.back() && blobs.size() == kPage;
        after = key;
      }
    }
  }
  impl_->Notify(events);
  return absl::OkStatus();
}

}  // namespace lamella
