// SqliteCatalogue's transactions.
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters_store/catalogue_json.h"
#include "adapters_store/sqlite_catalogue.h"
#include "common/base/error.h"
#include "common/base/fail_point.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

int64_t Micros(absl::Time time) { return absl::ToUnixMicros(time); }

absl::StatusOr<int64_t> NextRevision(SqliteDatabase* db) {
  ASSIGN_OR_RETURN(SqliteStatement next,
                   db->Prepare("UPDATE counters SET value = value + 1 WHERE name = 'revision' "
                               "RETURNING value"));
  ASSIGN_OR_RETURN(const bool row, next.Step());
  const int64_t revision = row ? next.Int(0) : 0;
  RETURN_IF_ERROR(next.Run());
  return revision;
}

absl::Status CheckRevision(SqliteDatabase* db, const CatalogueChange& change) {
  ASSIGN_OR_RETURN(SqliteStatement row,
                   db->Prepare("SELECT revision FROM adapters WHERE tenant = ? AND name = ?"));
  row.Bind(change.tenant).Bind(change.name);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if ((found ? row.Int(0) : 0) == change.expected_revision) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAborted, reasons::kEtagMismatch, "etag",
                   "the adapter has changed in between");
}

absl::Status PutAdapter(SqliteDatabase* db, const AdapterRow& row, int64_t revision) {
  ASSIGN_OR_RETURN(
      SqliteStatement put,
      db->Prepare("INSERT INTO adapters VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                  "SET revision = excluded.revision, labels = excluded.labels, "
                  "updated = excluded.updated"));
  put.Bind(row.tenant).Bind(row.name).Bind(revision).Bind(LabelsToJson(row.labels));
  return put.Bind(Micros(row.created)).Bind(Micros(row.updated)).Run();
}

absl::Status PutVersion(SqliteDatabase* db, const VersionRow& v, const std::string& config,
                        absl::Time now) {
  ASSIGN_OR_RETURN(SqliteStatement blob,
                   db->Prepare("INSERT INTO blobs VALUES(?, ?, ?, NULL) ON CONFLICT DO UPDATE SET "
                               "unreferenced = NULL"));
  RETURN_IF_ERROR(blob.Bind(v.tenant).Bind(v.weights_sha256).Bind(Micros(now)).Run());
  ASSIGN_OR_RETURN(
      SqliteStatement put,
      db->Prepare("INSERT INTO versions VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON "
                  "CONFLICT DO UPDATE SET base_fingerprint = excluded.base_fingerprint, "
                  "checked_fingerprint = excluded.checked_fingerprint, "
                  "quarantined = excluded.quarantined, "
                  "quarantine_reason = excluded.quarantine_reason, pinned = excluded.pinned"));
  put.Bind(v.tenant).Bind(v.name).Bind(v.version).Bind(v.weights_sha256);
  put.Bind(static_cast<int64_t>(v.weights_bytes)).Bind(static_cast<int64_t>(v.config_bytes));
  put.Bind(v.base_fingerprint).Bind(v.checked_fingerprint).Bind(int64_t{v.max_rank});
  put.Bind(int64_t{v.modules}).Bind(v.parameters);
  put.Bind(int64_t{v.state == VersionState::kQuarantined}).Bind(v.quarantine_reason);
  return put.Bind(int64_t{v.pinned}).Bind(Micros(v.created)).Bind(config).Run();
}

absl::Status RemoveAliases(SqliteDatabase* db, const CatalogueChange& change) {
  ASSIGN_OR_RETURN(SqliteStatement remove,
                   db->Prepare("DELETE FROM alias_targets WHERE tenant = ? AND name = ?"));
  return remove.Bind(change.tenant).Bind(change.name).Run();
}

absl::Status PutAliases(SqliteDatabase* db, const AdapterRow& row) {
  for (const AliasInfo& alias : row.aliases) {
    for (size_t i = 0; i < alias.targets.size(); ++i) {
      ASSIGN_OR_RETURN(SqliteStatement put,
                       db->Prepare("INSERT INTO alias_targets VALUES(?, ?, ?, ?, ?, ?)"));
      put.Bind(row.tenant).Bind(row.name).Bind(alias.alias).Bind(static_cast<int64_t>(i));
      put.Bind(alias.targets[i].version).Bind(int64_t{alias.targets[i].weight});
      RETURN_IF_ERROR(put.Run());
    }
  }
  return absl::OkStatus();
}

absl::Status Remove(SqliteDatabase* db, const CatalogueChange& change) {
  for (const std::string& version : change.removed) {
    ASSIGN_OR_RETURN(SqliteStatement remove,
                     db->Prepare("DELETE FROM versions WHERE tenant = ? AND name = ? AND "
                                 "version = ?"));
    RETURN_IF_ERROR(remove.Bind(change.tenant).Bind(change.name).Bind(version).Run());
  }
  if (!change.adapter) {
    ASSIGN_OR_RETURN(SqliteStatement remove,
                     db->Prepare("DELETE FROM adapters WHERE tenant = ? AND name = ?"));
    RETURN_IF_ERROR(remove.Bind(change.tenant).Bind(change.name).Run());
  }
  if (change.adapter && change.removed.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      SqliteStatement mark,
      db->Prepare("UPDATE blobs SET unreferenced = ? WHERE tenant = ? AND unreferenced "
                  "IS NULL AND NOT EXISTS(SELECT 1 FROM versions v WHERE v.tenant = "
                  "blobs.tenant AND v.weights_sha256 = blobs.sha256)"));
  return mark.Bind(Micros(change.audit.entry.time)).Bind(change.tenant).Run();
}

absl::Status PutRequest(SqliteDatabase* db, const CatalogueChange& change) {
  if (!change.request) return absl::OkStatus();
  ASSIGN_OR_RETURN(SqliteStatement put,
                   db->Prepare("INSERT OR REPLACE INTO requests VALUES(?, ?, ?, ?, ?, ?)"));
  put.Bind(change.tenant).Bind(change.request->request_id).Bind(change.request->name);
  put.Bind(change.request->version).Bind(int64_t{change.request->created});
  return put.Bind(Micros(change.audit.entry.time)).Run();
}

absl::Status PutAudit(SqliteDatabase* db, const AuditRow& row) {
  ASSIGN_OR_RETURN(SqliteStatement put,
                   db->Prepare("INSERT INTO audit VALUES(NULL, ?, ?, ?, ?, ?, ?)"));
  put.Bind(Micros(row.entry.time)).Bind(row.tenant).Bind(row.entry.actor).Bind(row.entry.action);
  return put.Bind(row.entry.target).Bind(row.entry.result).Run();
}

}  // namespace

absl::StatusOr<int64_t> SqliteCatalogue::Commit(const CatalogueChange& change) {
  MutexLock lock(&write_mutex_);
  ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(&writer_));
  RETURN_IF_ERROR(CheckRevision(&writer_, change));
  ASSIGN_OR_RETURN(const int64_t revision, NextRevision(&writer_));
  if (change.adapter) RETURN_IF_ERROR(PutAdapter(&writer_, *change.adapter, revision));
  for (const VersionRow& version : change.versions) {
    RETURN_IF_ERROR(PutVersion(&writer_, version, change.config_json, change.audit.entry.time));
  }
  RETURN_IF_ERROR(RemoveAliases(&writer_, change));
  RETURN_IF_ERROR(Remove(&writer_, change));
  if (change.adapter) RETURN_IF_ERROR(PutAliases(&writer_, *change.adapter));
  RETURN_IF_ERROR(PutRequest(&writer_, change));
  RETURN_IF_ERROR(PutAudit(&writer_, change.audit));
  FailPoint("store.catalogue.before_commit");
  RETURN_IF_ERROR(transaction.Commit());
  FailPoint("store.catalogue.committed");
  return revision;
}

absl::Status SqliteCatalogue::AddAudit(const std::vector<AuditRow>& rows) {
  MutexLock lock(&write_mutex_);
  ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(&writer_));
  for (const AuditRow& row : rows) RETURN_IF_ERROR(PutAudit(&writer_, row));
  return transaction.Commit();
}

absl::Status SqliteCatalogue::EraseTenant(const std::string& tenant, const AuditRow& audit) {
  MutexLock lock(&write_mutex_);
  {
    ASSIGN_OR_RETURN(SqliteTransaction transaction, SqliteTransaction::Begin(&writer_));
    // Adapters take versions, aliases and requests with them.
    for (const char* table : {"adapters", "blobs", "audit"}) {
      ASSIGN_OR_RETURN(SqliteStatement erase,
                       writer_.Prepare(absl::StrCat("DELETE FROM ", table, " WHERE tenant = ?")));
      RETURN_IF_ERROR(erase.Bind(tenant).Run());
    }
    RETURN_IF_ERROR(PutAudit(&writer_, audit));
    RETURN_IF_ERROR(transaction.Commit());
  }
  // The log holds older pages until it is folded into the file.
  return writer_.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

absl::Status SqliteCatalogue::ForgetRequests(absl::Time before) {
  MutexLock lock(&write_mutex_);
  ASSIGN_OR_RETURN(SqliteStatement forget, writer_.Prepare("DELETE FROM requests WHERE time < ?"));
  return forget.Bind(Micros(before)).Run();
}

absl::Status SqliteCatalogue::NoteBlob(const BlobRow& row) {
  MutexLock lock(&write_mutex_);
  ASSIGN_OR_RETURN(SqliteStatement note,
                   writer_.Prepare("INSERT OR IGNORE INTO blobs VALUES(?, ?, ?, ?)"));
  note.Bind(row.key.tenant).Bind(row.key.sha256).Bind(Micros(row.verified));
  return note.Bind(Micros(row.unreferenced.value_or(row.verified))).Run();
}

absl::Status SqliteCatalogue::SetVerified(const BlobKey& key, absl::Time when) {
  MutexLock lock(&write_mutex_);
  ASSIGN_OR_RETURN(
      SqliteStatement set,
      writer_.Prepare("UPDATE blobs SET verified = ? WHERE tenant = ? AND sha256 = ?"));
  return set.Bind(Micros(when)).Bind(key.tenant).Bind(key.sha256).Run();
}

absl::Status SqliteCatalogue::ForgetBlob(const BlobKey& key) {
  MutexLock lock(&write_mutex_);
  ASSIGN_OR_RETURN(SqliteStatement forget,
                   writer_.Prepare("DELETE FROM blobs WHERE tenant = ? AND sha256 = ? AND "
                                   "unreferenced IS NOT NULL"));
  return forget.Bind(key.tenant).Bind(key.sha256).Run();
}

absl::Status SqliteCatalogue::PutBase(const std::string& fingerprint, const std::string& spec_json,
                                      absl::Time when) {
  MutexLock lock(&write_mutex_);
  ASSIGN_OR_RETURN(SqliteStatement put,
                   writer_.Prepare("INSERT INTO bases VALUES(?, ?, ?) ON CONFLICT DO UPDATE SET "
                                   "seen = excluded.seen, spec = excluded.spec"));
  return put.Bind(fingerprint).Bind(Micros(when)).Bind(spec_json).Run();
}

}  // namespace lamella
