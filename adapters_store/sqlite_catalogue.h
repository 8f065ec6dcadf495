// The catalogue as one SQLite file: write-ahead log, synchronous FULL, foreign keys, one writer. A
// second connection answers questions, so none waits for a commit. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapters_store/catalogue.h"
#include "adapters_store/sqlite.h"
#include "common/base/mutex.h"

namespace lamella {

class SqliteCatalogue final : public Catalogue {
 public:
  // Makes the file or brings its schema up to date. FAILED_PRECONDITION (STORE_TOO_NEW). `vfs` is
  // for tests: "" is the system's.
  static absl::StatusOr<std::unique_ptr<SqliteCatalogue>> Open(const std::string& path,
                                                               const std::string& vfs = "");

  absl::StatusOr<std::vector<AdapterRow>> ListAdapters(const std::string& after_tenant,
                                                       const std::string& after_name,
                                                       size_t limit) const override;
  absl::StatusOr<std::vector<VersionRow>> ListVersions(const VersionRow& after,
                                                       size_t limit) const override;
  absl::StatusOr<std::vector<BlobRow>> ListBlobs(const BlobKey& after, size_t limit) const override;
  absl::StatusOr<std::vector<AuditEntry>> ListAudit(std::string_view tenant,
                                                    size_t limit) const override;
  absl::StatusOr<std::string> ReadConfig(const std::string& tenant, const std::string& name,
                                         const std::string& version) const override;
  absl::StatusOr<std::optional<RequestRow>> FindRequest(
      const std::string& tenant, const std::string& request_id) const override;
  absl::StatusOr<int64_t> Commit(const CatalogueChange& change) override;
  absl::Status AddAudit(const std::vector<AuditRow>& rows) override;
  absl::Status EraseTenant(const std::string& tenant, const AuditRow& audit) override;
  absl::Status ForgetRequests(absl::Time before) override;
  absl::Status NoteBlob(const BlobRow& row) override;
  absl::Status SetVerified(const BlobKey& key, absl::Time when) override;
  absl::StatusOr<std::optional<BlobRow>> OldestVerified() const override;
  absl::Status ForgetBlob(const BlobKey& key) override;
  absl::Status PutBase(const std::string& fingerprint, const std::string& spec_json,
                       absl::Time when) override;
  absl::StatusOr<std::vector<std::string>> ListBases() const override;

 private:
  SqliteCatalogue(SqliteDatabase writer, SqliteDatabase reader);
  absl::StatusOr<std::map<std::string, std::vector<AliasInfo>>> AliasesAfter(
      const std::string& tenant, const std::string& name) const REQUIRES(read_mutex_);

  mutable Mutex write_mutex_;
  SqliteDatabase writer_ GUARDED_BY(write_mutex_);
  mutable Mutex read_mutex_;
  SqliteDatabase reader_ GUARDED_BY(read_mutex_);
};

}  // namespace lamella
