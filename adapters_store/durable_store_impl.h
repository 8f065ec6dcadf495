// The inside of DurableAdapterStore: its state, its locks and the one way to change it.
//
// Lock order: change_mutex, then state_mutex. The first is held for a whole change, disk included;
// the second for as long as it takes to read or swap values.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters_store/durable_adapter_store.h"
#include "adapters_store/store_state.h"
#include "common/base/mutex.h"

namespace lamella {

// Held while it lives; the kernel lets go of it when the process dies.
class StoreLock {
 public:
  // FAILED_PRECONDITION (STORE_LOCKED).
  static absl::StatusOr<std::unique_ptr<StoreLock>> Take(const std::string& dir);
  ~StoreLock();
  StoreLock(const StoreLock&) = delete;
  StoreLock& operator=(const StoreLock&) = delete;

 private:
  explicit StoreLock(int fd) : fd_(fd) {}
  const int fd_;
};

// What an edit makes of an adapter. `state` empty: there is none, or none any more.
struct PendingChange {
  std::optional<AdapterState> state;
  std::string config_json;  // of an added version
  std::optional<RequestRow> request;
};

// Who changes what: for the guard by etag, the audit log and the listener.
struct ChangeRequest {
  std::string tenant;
  std::string name;
  std::string version;  // if it is about one
  std::string etag;
  std::string action;
  std::string actor;
};

class DurableAdapterStore::Impl {
 public:
  using Edit = std::function<absl::Status(PendingChange*)>;

  Impl(StorePorts ports, const DurableStoreOptions& options, const BaseSpec& base,
       const Clock* clock);
  ~Impl();

  absl::Status Recover();

  // Applies `edit` to an adapter that exists, commits, tells the listener. Refusals are audited
  // with the next write.
  absl::StatusOr<AdapterInfo> Change(const ChangeRequest& request, const Edit& edit)
      EXCLUDES(change_mutex, state_mutex);
  // The same with the lock held; `events` are for Notify afterwards. `may_create`: the adapter need
  // not exist.
  absl::StatusOr<AdapterInfo> ChangeLocked(const ChangeRequest& request, bool may_create,
                                           const Edit& edit, std::vector<StoreChange>* events)
      REQUIRES(change_mutex) EXCLUDES(state_mutex);
  void Notify(const std::vector<StoreChange>& events) const;
  void NoteRefusal(const ChangeRequest& request, const absl::Status& status) EXCLUDES(state_mutex);
  absl::Status FlushRefusals() EXCLUDES(state_mutex);
  AuditRow MakeAudit(const ChangeRequest& request, std::string_view result) const;

  // Quarantines every version of the tenant that needs the blob.
  void QuarantineBlob(const BlobKey& key, const absl::Status& why)
      EXCLUDES(change_mutex, state_mutex);
  // The blob, with its digest checked unless its stamp has not changed since it was. DATA_LOSS,
  // and then its versions are quarantined; UNAVAILABLE or RESOURCE_EXHAUSTED if it cannot be read
  // just now, which changes nothing.
  absl::StatusOr<std::shared_ptr<const MappedFile>> ReadChecked(const BlobKey& key, bool always);
  std::optional<VersionRow> FindRow(std::string_view tenant, std::string_view name,
                                    std::string_view version) const EXCLUDES(state_mutex);

  const DurableStoreOptions options;
  const BaseSpec base;
  const Clock* const clock;
  std::unique_ptr<StoreLock> lock;  // null on other ports
  StorePorts ports;
  std::function<void(const StoreChange&)> listener;

  Mutex change_mutex;
  mutable Mutex state_mutex;
  std::map<std::string, TenantState, std::less<>> tenants GUARDED_BY(state_mutex);
  std::map<std::string, uint64_t> uploading_bytes GUARDED_BY(state_mutex);  // by tenant
  std::vector<AuditRow> refusals GUARDED_BY(state_mutex);                   // not written yet
  std::map<BlobKey, FileStamp> verified GUARDED_BY(state_mutex);

 private:
  absl::Status Load() EXCLUDES(state_mutex);
  absl::Status CheckBlobs() EXCLUDES(change_mutex, state_mutex);
};

}  // namespace lamella
