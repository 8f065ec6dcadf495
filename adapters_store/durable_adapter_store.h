// Adapters as durable, versioned property of a tenant: uploads that survive kill -9 once they are
// acknowledged, versions that never change, aliases that switch at once. A catalogue (catalogue.h)
// says what exists, blobs (blob_store.h) hold the weights; this facade alone knows the order in
// which the two are written.
//
//   BeginUpload --AddConfig, AddWeights--> Finish: check, blob durable, one transaction = commit
//        |                                     |
//        ~Upload at any time: nothing stays    after the commit: READY, and stays so
//
//   READY --Quarantine--> QUARANTINED --Release--> READY        by an operator or by a fault
//   READY | QUARANTINED --Delete--> gone; its blob goes with the garbage, after a grace time
//
// Thread-safe. Resolve, List and the Get family answer from memory; Open, uploads and changes block
// on the disk. Changes are serialized; a reader sees all of one or nothing. One process has one
// store on a folder: a lock file refuses the second.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters_store/adapter_store.h"
#include "adapters_store/adapter_validator.h"
#include "adapters_store/blob_store.h"
#include "adapters_store/catalogue.h"
#include "common/base/clock.h"
#include "common/formats/base_spec.h"

namespace lamella {

// A version as its owner and operators see it.
struct VersionInfo {
  StoredVersion version;
  VersionState state = VersionState::kReady;
  std::string quarantine_reason;  // "" while ready
  std::string base_fingerprint;   // of the base that it was made for
  bool fits_base = true;          // the base that is served now
  bool pinned = false;            // kept in memory from start-up on
  std::string weights_sha256;
  uint64_t config_bytes = 0;
  absl::Time created;
  std::vector<std::string> aliases;  // that point to it, sorted
};

struct AdapterInfo {
  std::string tenant;
  std::string name;
  std::string etag;  // changes with every change of aliases, labels or versions
  Labels labels;
  std::vector<AliasInfo> aliases;  // sorted by name
  int32_t versions = 0;
  absl::Time created;
  absl::Time updated;
};

// Who asks for a change: goes into the audit log.
struct Actor {
  std::string name;        // of the credential; "cli" offline
  std::string request_id;  // makes a retried upload the same upload; may be empty
};

struct UploadHeader {
  std::string tenant;
  std::string adapter;
  std::string
      alias;      // switched to the new version in the same transaction; "" leaves aliases alone
  Labels labels;  // merged into the adapter's
  std::string weights_sha256;     // "" or what the client says its file has
  std::string base_fingerprint;   // "" records the current base's
  bool allow_other_base = false;  // take a version made for another base if its shapes fit
  uint64_t config_bytes = 0;
  uint64_t weights_bytes = 0;
  bool validate_only = false;  // everything but the commit
  // The tenant's own limits on what the store keeps of it; 0: the store's.
  uint64_t max_tenant_bytes = 0;
  int64_t max_tenant_versions = 0;
};

// What the store keeps.
struct StoreUsage {
  uint64_t weights_bytes = 0;
  uint64_t uploading_bytes = 0;  // announced by uploads under way
  int64_t versions = 0;
  int64_t adapters = 0;
};

struct UploadResult {
  VersionInfo version;
  std::string etag;          // of the adapter, after the commit
  bool created = false;      // false: the tenant had these bytes already
  absl::Duration hash_time;  // of hashing and scanning
  absl::Duration sync_time;  // of fsync and commit
};

// One upload under way, of a store that outlives it. One thread at a time. Whatever ends it but a
// Finish that answered OK leaves neither row nor blob nor temporary file; where the disk fails
// between the blob and the commit, the blob is left to garbage collection. After an error every
// call answers that error.
class Upload {
 public:
  virtual ~Upload() = default;

  // The whole adapter_config.json, in any number of pieces, before the weights. A config that
  // cannot be used is answered as soon as it is complete.
  virtual absl::Status AddConfig(std::string_view piece) = 0;
  // The weights file, in order, in pieces of any size. A header that cannot be used is answered
  // with the piece that completes it.
  virtual absl::Status AddWeights(std::span<const std::byte> piece) = 0;
  // Checks the rest, makes it durable, commits. Once.
  virtual absl::StatusOr<UploadResult> Finish() = 0;
};

enum class ChangeKind { kCreated, kChanged, kDeleted };

// What changed, for those who watch. `version` is "" if the adapter itself changed.
struct StoreChange {
  ChangeKind kind = ChangeKind::kChanged;
  std::string tenant;
  std::string adapter;
  std::string version;
};

struct DurableStoreOptions {
  std::string dir;  // created if missing, mode 0700
  AdapterLimits limits;
  absl::Duration garbage_grace = absl::Hours(1);  // a blob without a row is kept so long
  // The store's ceiling and each tenant's, of weights bytes and of versions.
  uint64_t max_bytes = uint64_t{1} << 40;
  uint64_t max_tenant_bytes = uint64_t{1} << 40;
  int64_t max_tenant_versions = 100'000;
};

// Where a store keeps what it keeps.
struct StorePorts {
  std::unique_ptr<Catalogue> catalogue;
  std::unique_ptr<BlobStore> blobs;
};

class DurableAdapterStore final : public AdapterStore {
 public:
  // Recovers: removes temporary files, quarantines rows whose blob is missing or has another size.
  //   FAILED_PRECONDITION (STORE_LOCKED): another process has the folder.
  //   FAILED_PRECONDITION (STORE_TOO_NEW): a later release wrote its schema.
  //   UNAVAILABLE (STORE_UNWRITABLE), DATA_LOSS (STORE_CORRUPT).
  // `base` is copied, `clock` borrowed. Remembers `base` by its fingerprint for offline commands.
  static absl::StatusOr<std::unique_ptr<DurableAdapterStore>> Open(
      const DurableStoreOptions& options, const BaseSpec& base, const Clock* clock);
  // On a store that exists, for the base that was served last: what offline commands use. NOT_FOUND
  // (MISSING_FILE) if there is no store or none was ever served.
  static absl::StatusOr<std::unique_ptr<DurableAdapterStore>> OpenExisting(
      const DurableStoreOptions& options, const Clock* clock);
  // On other ports, without a lock; options.dir is not looked at.
  static absl::StatusOr<std::unique_ptr<DurableAdapterStore>> OpenOn(
      StorePorts ports, const DurableStoreOptions& options, const BaseSpec& base,
      const Clock* clock);
  ~DurableAdapterStore() override;

  // --- AdapterStore: what serving needs. A quarantined version answers FAILED_PRECONDITION
  // (VERSION_QUARANTINED), one for another base FAILED_PRECONDITION (WRONG_BASE).
  absl::StatusOr<StoredVersion> Resolve(std::string_view tenant, std::string_view adapter_id,
                                        std::string_view routing_key) const override;
  std::vector<AdapterListing> List(std::string_view tenant) const override;
  // The first Open of a version in this process checks its SHA-256; a later one that the file's
  // stamp has not changed since. A mismatch quarantines.
  absl::StatusOr<AdapterFiles> Open(const StoredVersion& version) const override;

  // --- Uploads.
  // INVALID_ARGUMENT for a bad name, label or size; RESOURCE_EXHAUSTED (STORE_FULL, QUOTA_EXCEEDED)
  // for declared bytes that do not fit; FAILED_PRECONDITION (WRONG_BASE).
  absl::StatusOr<std::unique_ptr<Upload>> BeginUpload(const UploadHeader& header,
                                                      const Actor& actor);

  // --- Questions. NOT_FOUND (ADAPTER_NOT_FOUND) for what the tenant does not have.
  absl::StatusOr<AdapterInfo> GetAdapter(std::string_view tenant, std::string_view name) const;
  absl::StatusOr<VersionInfo> GetVersion(std::string_view tenant, std::string_view name,
                                         std::string_view version) const;
  // Sorted by name, those after `after`, at most `limit`.
  std::vector<AdapterInfo> ListAdapters(std::string_view tenant, std::string_view after,
                                        size_t limit) const;
  // Newest first (then by digest), those after the version `after`, at most `limit`. `after` is ""
  // or a digest of this adapter.
  absl::StatusOr<std::vector<VersionInfo>> ListVersions(std::string_view tenant,
                                                        std::string_view name,
                                                        std::string_view after, size_t limit) const;
  std::vector<std::string> Tenants() const;
  StoreUsage UsageOf(std::string_view tenant) const;
  StoreUsage UsageOfAll() const;
  // Of all tenants: what the server loads before it is ready.
  std::vector<VersionInfo> PinnedVersions() const;
  // Of all tenants: READY ones that do not fit the base that is served.
  std::vector<VersionInfo> MisfitVersions() const;

  // --- Changes. `etag` "" is not compared; another than the adapter's answers ABORTED
  // (ETAG_MISMATCH).
  absl::StatusOr<AdapterInfo> SetAlias(std::string_view tenant, std::string_view name,
                                       const AliasInfo& alias, std::string_view etag,
                                       const Actor& actor);
  absl::StatusOr<AdapterInfo> DeleteAlias(std::string_view tenant, std::string_view name,
                                          std::string_view alias, std::string_view etag,
                                          const Actor& actor);
  // FAILED_PRECONDITION (VERSION_IN_USE) if an alias points to it and not `force`, which takes the
  // version out of its aliases.
  absl::Status DeleteVersion(std::string_view tenant, std::string_view name,
                             std::string_view version, std::string_view etag, bool force,
                             const Actor& actor);
  // FAILED_PRECONDITION (VERSION_IN_USE) if it has aliases and not `force`.
  absl::Status DeleteAdapter(std::string_view tenant, std::string_view name, std::string_view etag,
                             bool force, const Actor& actor);
  absl::Status SetPinned(std::string_view tenant, std::string_view name, std::string_view version,
                         bool pinned, const Actor& actor);
  absl::Status Quarantine(std::string_view tenant, std::string_view name, std::string_view version,
                          std::string_view reason, const Actor& actor);
  absl::Status Release(std::string_view tenant, std::string_view name, std::string_view version,
                       const Actor& actor);
  // Rows, blobs (at once, without the grace time) and audit entries of a tenant; one entry that
  // says so is left.
  absl::Status EraseTenant(std::string_view tenant, const Actor& actor);

  // --- Upkeep.
  // The original files of a version. The pointer reads the blob; DATA_LOSS as Open.
  struct ExportedVersion {
    std::string config_json;
    std::shared_ptr<const MappedFile> weights;
  };
  absl::StatusOr<ExportedVersion> Export(std::string_view tenant, std::string_view name,
                                         std::string_view version) const;
  // Removes blobs that no version needs since the grace time; whoever has one open keeps its bytes.
  // Forgets request ids of a week ago. Bytes freed.
  absl::StatusOr<uint64_t> CollectGarbage();
  // Reads the blob that was verified longest ago and compares its digest; quarantines a bad one.
  // False if there is nothing to verify.
  absl::StatusOr<bool> ScrubOne();
  // The newest `limit` entries of a tenant, newest first; "" means all tenants.
  absl::StatusOr<std::vector<AuditEntry>> AuditLog(std::string_view tenant, size_t limit) const;
  // Called after each committed change, outside of locks, on the changer's thread. Set once, before
  // the store is shared.
  void SetChangeListener(std::function<void(const StoreChange&)> listener);

  class Impl;  // durable_store_impl.h, of this room alone

 private:
  explicit DurableAdapterStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A consistent copy of the store in `store_dir` into the folder `dir`, which is empty or not there,
// while a server has the store: the catalogue by SQLite's backup, then the blobs of READY versions,
// each checked. What it wrote is a store: opening it is restoring it. FAILED_PRECONDITION
// (STORE_UNWRITABLE) if `dir` holds something, DATA_LOSS (DIGEST_MISMATCH, MISSING_FILE).
absl::Status BackupStore(const std::string& store_dir, const std::string& dir);

}  // namespace lamella
