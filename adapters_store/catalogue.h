// The port behind which the catalogue is kept: which adapters, versions and aliases exist, who
// changed them, and which blobs they need. Values only: no path, no file, no SQL above it. One
// change is one transaction on one adapter, guarded by its revision, so that a shared database can
// serve many replicas; lists come by page. Thread-safe.
//
// Errors: ABORTED (ETAG_MISMATCH) where a revision is not the expected one, RESOURCE_EXHAUSTED
// (STORE_FULL), UNAVAILABLE (STORE_UNWRITABLE), DATA_LOSS (STORE_CORRUPT).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters_store/blob_store.h"

namespace lamella {

enum class VersionState { kReady, kQuarantined };

using Labels = std::map<std::string, std::string>;

struct WeightedVersion {
  std::string version;  // 64 hex digits
  uint32_t weight = 1;  // 1 to 1'000'000

  friend bool operator==(const WeightedVersion&, const WeightedVersion&) = default;
};

// One version, or a split of traffic among several.
struct AliasInfo {
  std::string alias;
  std::vector<WeightedVersion> targets;  // at least one

  friend bool operator==(const AliasInfo&, const AliasInfo&) = default;
};

struct AuditEntry {
  int64_t id = 0;
  absl::Time time;
  std::string actor;
  std::string action;  // "upload", "set-alias", "delete-version", ...
  std::string target;  // "tenants/T/adapters/A[/versions/V]"
  std::string result;  // "OK" or the reason of the refusal
};

struct AuditRow {
  std::string tenant;
  AuditEntry entry;  // its id is given by the catalogue
};

struct AdapterRow {
  std::string tenant;
  std::string name;
  int64_t revision = 0;  // of the last change; never given twice in a catalogue
  Labels labels;
  std::vector<AliasInfo> aliases;  // sorted by name
  absl::Time created;
  absl::Time updated;

  friend bool operator==(const AdapterRow&, const AdapterRow&) = default;
};

struct VersionRow {
  std::string tenant;
  std::string name;
  std::string version;
  std::string weights_sha256;
  uint64_t weights_bytes = 0;
  uint64_t config_bytes = 0;
  std::string base_fingerprint;     // of the base that it was made for
  std::string checked_fingerprint;  // of the base that it was validated against
  int32_t max_rank = 0;
  int32_t modules = 0;
  int64_t parameters = 0;
  VersionState state = VersionState::kReady;
  std::string quarantine_reason;
  bool pinned = false;
  absl::Time created;

  friend bool operator==(const VersionRow&, const VersionRow&) = default;
};

// What an upload with a request id came to.
struct RequestRow {
  std::string request_id;
  std::string name;
  std::string version;
  bool created = false;
};

// One transaction.
struct CatalogueChange {
  std::string tenant;
  std::string name;
  int64_t expected_revision = 0;      // 0: there is no such adapter
  std::optional<AdapterRow> adapter;  // what it becomes; nullopt: removed with everything it has
  std::vector<VersionRow> versions;   // added or changed
  std::string config_json;            // of the one that is added
  std::vector<std::string> removed;   // versions
  std::optional<RequestRow> request;  // remembered with the change
  AuditRow audit;                     // its time is the change's
};

// A blob as the catalogue counts it.
struct BlobRow {
  BlobKey key;
  absl::Time verified;                     // its bytes were last seen to be right
  std::optional<absl::Time> unreferenced;  // no version needs it since then
};

class Catalogue {
 public:
  virtual ~Catalogue() = default;

  // --- Pages, sorted by key, those after it.
  virtual absl::StatusOr<std::vector<AdapterRow>> ListAdapters(const std::string& after_tenant,
                                                               const std::string& after_name,
                                                               size_t limit) const = 0;
  // `after`: tenant, name and version count.
  virtual absl::StatusOr<std::vector<VersionRow>> ListVersions(const VersionRow& after,
                                                               size_t limit) const = 0;
  virtual absl::StatusOr<std::vector<BlobRow>> ListBlobs(const BlobKey& after,
                                                         size_t limit) const = 0;
  // Newest first; "" means all tenants.
  virtual absl::StatusOr<std::vector<AuditEntry>> ListAudit(std::string_view tenant,
                                                            size_t limit) const = 0;

  // NOT_FOUND (ADAPTER_NOT_FOUND).
  virtual absl::StatusOr<std::string> ReadConfig(const std::string& tenant, const std::string& name,
                                                 const std::string& version) const = 0;
  virtual absl::StatusOr<std::optional<RequestRow>> FindRequest(
      const std::string& tenant, const std::string& request_id) const = 0;

  // Gives the adapter's new revision.
  virtual absl::StatusOr<int64_t> Commit(const CatalogueChange& change) = 0;
  virtual absl::Status AddAudit(const std::vector<AuditRow>& rows) = 0;
  // Every row of the tenant, audit rows too; `audit` is left.
  virtual absl::Status EraseTenant(const std::string& tenant, const AuditRow& audit) = 0;
  virtual absl::Status ForgetRequests(absl::Time before) = 0;

  // --- Blobs. A row comes with the first version that needs it, or with NoteBlob.
  virtual absl::Status NoteBlob(const BlobRow& row) = 0;
  virtual absl::Status SetVerified(const BlobKey& key, absl::Time when) = 0;
  // The one that was verified longest ago among those that a READY version needs.
  virtual absl::StatusOr<std::optional<BlobRow>> OldestVerified() const = 0;
  // If no version needs it.
  virtual absl::Status ForgetBlob(const BlobKey& key) = 0;

  // --- Bases, as BaseSpecToJson writes them, newest first.
  virtual absl::Status PutBase(const std::string& fingerprint, const std::string& spec_json,
                               absl::Time when) = 0;
  virtual absl::StatusOr<std::vector<std::string>> ListBases() const = 0;
};

}  // namespace lamella
