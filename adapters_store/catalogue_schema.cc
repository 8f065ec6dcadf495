#include "adapters_store/catalogue_schema.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

// Times are microseconds since 1970. Configs stand last: lists pass over them without reading.
constexpr char kFirst[] = R"sql(
CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES('revision', 0);
CREATE TABLE bases(fingerprint TEXT PRIMARY KEY, seen INTEGER NOT NULL, spec TEXT NOT NULL);
CREATE TABLE adapters(
  tenant TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, labels TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL,
  PRIMARY KEY(tenant, name)) WITHOUT ROWID;
CREATE TABLE blobs(
  tenant TEXT NOT NULL, sha256 TEXT NOT NULL, verified INTEGER NOT NULL, unreferenced INTEGER,
  PRIMARY KEY(tenant, sha256)) WITHOUT ROWID;
CREATE INDEX blobs_by_verified ON blobs(verified);
CREATE TABLE versions(
  tenant TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
  weights_sha256 TEXT NOT NULL, weights_bytes INTEGER NOT NULL, config_bytes INTEGER NOT NULL,
  base_fingerprint TEXT NOT NULL, checked_fingerprint TEXT NOT NULL,
  max_rank INTEGER NOT NULL, modules INTEGER NOT NULL, parameters INTEGER NOT NULL,
  quarantined INTEGER NOT NULL, quarantine_reason TEXT NOT NULL, pinned INTEGER NOT NULL,
  created INTEGER NOT NULL, config TEXT NOT NULL,
  PRIMARY KEY(tenant, name, version),
  FOREIGN KEY(tenant, name) REFERENCES adapters ON DELETE CASCADE,
  FOREIGN KEY(tenant, weights_sha256) REFERENCES blobs);
CREATE INDEX versions_by_blob ON versions(tenant, weights_sha256);
CREATE TABLE alias_targets(
  tenant TEXT NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL, position INTEGER NOT NULL,
  version TEXT NOT NULL, weight INTEGER NOT NULL,
  PRIMARY KEY(tenant, name, alias, position),
  FOREIGN KEY(tenant, name, version) REFERENCES versions ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX alias_targets_by_version ON alias_targets(tenant, name, version);
CREATE TABLE requests(
  tenant TEXT NOT NULL, request_id TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
  made INTEGER NOT NULL, time INTEGER NOT NULL,
  PRIMARY KEY(tenant, request_id),
  FOREIGN KEY(tenant, name, version) REFERENCES versions ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX requests_by_version ON requests(tenant, name, version);
CREATE TABLE audit(
  id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, tenant TEXT NOT NULL,
  actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL, result TEXT NOT NULL);
CREATE INDEX audit_by_tenant ON audit(tenant, id);
)sql";

constexpr std::array kMigrations = {kFirst};

}  // namespace

absl::Status MigrateCatalogue(SqliteDatabase* db) {
  ASSIGN_OR_RETURN(SqliteStatement pragma, db->Prepare("PRAGMA user_version"));
  RETURN_IF_ERROR(pragma.Step().status());
  const int64_t have = pragma.Int(0);
  RETURN_IF_ERROR(pragma.Run());
  constexpr auto kKnown = static_cast<int64_t>(kMigrations.size());
  if (have > kKnown) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, reasons::kStoreTooNew, "",
        absl::StrCat("the store has schema ", have, ", this release knows up to ", kKnown));
  }
  for (int64_t next = have; next < kKnown; ++next) {
    ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(db));
    RETURN_IF_ERROR(db->Execute(kMigrations[static_cast<size_t>(next)]));
    RETURN_IF_ERROR(db->Execute(absl::StrCat("PRAGMA user_version=", next + 1).c_str()));
    RETURN_IF_ERROR(transaction.Commit());
  }
  return absl::OkStatus();
}

}  // namespace lamella
