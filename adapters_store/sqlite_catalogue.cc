#include "adapters_store/sqlite_catalogue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters_store/adapter_id.h"
#include "adapters_store/catalogue_json.h"
#include "adapters_store/catalogue_schema.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

constexpr char kVersionColumns[] =
    "tenant, name, version, weights_sha256, weights_bytes, config_bytes, base_fingerprint, "
    "checked_fingerprint, max_rank, modules, parameters, quarantined, quarantine_reason, pinned, "
    "created";

absl::Time TimeAt(const SqliteStatement& row, int column) {
  return absl::FromUnixMicros(row.Int(column));
}

VersionRow ReadVersion(const SqliteStatement& row) {
  VersionRow version;
  version.tenant = row.Text(0);
  version.name = row.Text(1);
  version.version = row.Text(2);
  version.weights_sha256 = row.Text(3);
  version.weights_bytes = static_cast<uint64_t>(row.Int(4));
  version.config_bytes = static_cast<uint64_t>(row.Int(5));
  version.base_fingerprint = row.Text(6);
  version.checked_fingerprint = row.Text(7);
  version.max_rank = static_cast<int32_t>(row.Int(8));
  version.modules = static_cast<int32_t>(row.Int(9));
  version.parameters = row.Int(10);
  version.state = row.Int(11) != 0 ? VersionState::kQuarantined : VersionState::kReady;
  version.quarantine_reason = row.Text(12);
  version.pinned = row.Int(13) != 0;
  version.created = TimeAt(row, 14);
  return version;
}

BlobRow ReadBlob(const SqliteStatement& row) {
  BlobRow blob{.key = {row.Text(0), row.Text(1)}, .verified = TimeAt(row, 2)};
  if (!row.IsNull(3)) blob.unreferenced = TimeAt(row, 3);
  return blob;
}

}  // namespace

SqliteCatalogue::SqliteCatalogue(SqliteDatabase writer, SqliteDatabase reader)
    : writer_(std::move(writer)), reader_(std::move(reader)) {}

absl::StatusOr<std::unique_ptr<SqliteCatalogue>> SqliteCatalogue::Open(const std::string& path,
                                                                       const std::string& vfs) {
  // Erased rows are overwritten, so that erasing a tenant leaves nothing to read.
  constexpr char kSettings[] =
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
      "PRAGMA secure_delete=ON;";
  ASSIGN_OR_RETURN(SqliteDatabase writer, SqliteDatabase::Open(path, false, vfs));
  RETURN_IF_ERROR(writer.Execute(kSettings));
  RETURN_IF_ERROR(MigrateCatalogue(&writer));
  ASSIGN_OR_RETURN(SqliteDatabase reader, SqliteDatabase::Open(path, true, vfs));
  return std::unique_ptr<SqliteCatalogue>(
      new SqliteCatalogue(std::move(writer), std::move(reader)));
}

absl::StatusOr<std::map<std::string, std::vector<AliasInfo>>> SqliteCatalogue::AliasesAfter(
    const std::string& tenant, const std::string& name) const {
  ASSIGN_OR_RETURN(SqliteStatement rows,
                   reader_.Prepare("SELECT tenant || '/' || name, alias, version, weight FROM "
                                   "alias_targets WHERE (tenant, name) > (?, ?) "
                                   "ORDER BY tenant, name, alias, position"));
  rows.Bind(tenant).Bind(name);
  std::map<std::string, std::vector<AliasInfo>> aliases;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return aliases;
    std::vector<AliasInfo>& of = aliases[rows.Text(0)];
    const std::string alias = rows.Text(1);
    if (of.empty() || of.back().alias != alias) of.push_back({.alias = alias});
    of.back().targets.push_back({rows.Text(2), static_cast<uint32_t>(rows.Int(3))});
  }
}

absl::StatusOr<std::vector<AdapterRow>> SqliteCatalogue::ListAdapters(
    const std::string& after_tenant, const std::string& after_name, size_t limit) const {
  MutexLock lock(&read_mutex_);
  ASSIGN_OR_RETURN(auto aliases, AliasesAfter(after_tenant, after_name));
  ASSIGN_OR_RETURN(SqliteStatement rows,
                   reader_.Prepare("SELECT tenant, name, revision, labels, created, updated FROM "
                                   "adapters WHERE (tenant, name) > (?, ?) "
                                   "ORDER BY tenant, name LIMIT ?"));
  rows.Bind(after_tenant).Bind(after_name).Bind(static_cast<int64_t>(limit));
  std::vector<AdapterRow> page;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return page;
    AdapterRow row{.tenant = rows.Text(0), .name = rows.Text(1), .revision = rows.Int(2)};
    ASSIGN_OR_RETURN(row.labels, LabelsFromJson(rows.Text(3)));
    row.created = TimeAt(rows, 4);
    row.updated = TimeAt(rows, 5);
    row.aliases = std::move(aliases[absl::StrCat(row.tenant, "/", row.name)]);
    page.push_back(std::move(row));
  }
}

absl::StatusOr<std::vector<VersionRow>> SqliteCatalogue::ListVersions(const VersionRow& after,
                                                                      size_t limit) const {
  MutexLock lock(&read_mutex_);
  ASSIGN_OR_RETURN(
      SqliteStatement rows,
      reader_.Prepare(absl::StrCat("SELECT ", kVersionColumns,
                                   " FROM versions WHERE (tenant, name, version) > (?, ?, ?) "
                                   "ORDER BY tenant, name, version LIMIT ?")));
  rows.Bind(after.tenant).Bind(after.name).Bind(after.version).Bind(static_cast<int64_t>(limit));
  std::vector<VersionRow> page;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return page;
    page.push_back(ReadVersion(rows));
  }
}

absl::StatusOr<std::vector<BlobRow>> SqliteCatalogue::ListBlobs(const BlobKey& after,
                                                                size_t limit) const {
  MutexLock lock(&read_mutex_);
  ASSIGN_OR_RETURN(SqliteStatement rows,
                   reader_.Prepare("SELECT tenant, sha256, verified, unreferenced FROM blobs WHERE "
                                   "(tenant, sha256) > (?, ?) ORDER BY tenant, sha256 LIMIT ?"));
  rows.Bind(after.tenant).Bind(after.sha256).Bind(static_cast<int64_t>(limit));
  std::vector<BlobRow> page;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return page;
    page.push_back(ReadBlob(rows));
  }
}

absl::StatusOr<std::vector<AuditEntry>> SqliteCatalogue::ListAudit(std::string_view tenant,
                                                                   size_t limit) const {
  MutexLock lock(&read_mutex_);
  ASSIGN_OR_RETURN(SqliteStatement rows,
                   reader_.Prepare("SELECT id, time, actor, action, target, result FROM audit "
                                   "WHERE ?1 = '' OR tenant = ?1 ORDER BY id DESC LIMIT ?2"));
  rows.Bind(tenant).Bind(static_cast<int64_t>(limit));
  std::vector<AuditEntry> page;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return page;
    page.push_back(
        {rows.Int(0), TimeAt(rows, 1), rows.Text(2), rows.Text(3), rows.Text(4), rows.Text(5)});
  }
}

absl::StatusOr<std::string> SqliteCatalogue::ReadConfig(const std::string& tenant,
                                                        const std::string& name,
                                                        const std::string& version) const {
  MutexLock lock(&read_mutex_);
  ASSIGN_OR_RETURN(SqliteStatement row,
                   reader_.Prepare("SELECT config FROM versions WHERE tenant = ? AND name = ? AND "
                                   "version = ?"));
  row.Bind(tenant).Bind(name).Bind(version);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return AdapterNotFound(name);
  return row.Text(0);
}

absl::StatusOr<std::optional<RequestRow>> SqliteCatalogue::FindRequest(
    const std::string& tenant, const std::string& request_id) const {
  MutexLock lock(&read_mutex_);
  ASSIGN_OR_RETURN(SqliteStatement row,
                   reader_.Prepare("SELECT request_id, name, version, made FROM requests WHERE "
                                   "tenant = ? AND request_id = ?"));
  row.Bind(tenant).Bind(request_id);
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::nullopt;
  return RequestRow{row.Text(0), row.Text(1), row.Text(2), row.Int(3) != 0};
}

absl::StatusOr<std::optional<BlobRow>> SqliteCatalogue::OldestVerified() const {
  MutexLock lock(&read_mutex_);
  ASSIGN_OR_RETURN(
      SqliteStatement row,
      reader_.Prepare("SELECT tenant, sha256, verified, unreferenced FROM blobs WHERE EXISTS("
                      "SELECT 1 FROM versions v WHERE v.tenant = blobs.tenant AND "
                      "v.weights_sha256 = blobs.sha256 AND v.quarantined = 0) "
                      "ORDER BY verified LIMIT 1"));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return std::nullopt;
  return ReadBlob(row);
}

absl::StatusOr<std::vector<std::string>> SqliteCatalogue::ListBases() const {
  MutexLock lock(&read_mutex_);
  ASSIGN_OR_RETURN(SqliteStatement rows,
                   reader_.Prepare("SELECT spec FROM bases ORDER BY seen DESC, fingerprint"));
  std::vector<std::string> specs;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return specs;
    specs.push_back(rows.Text(0));
  }
}

}  // namespace lamella
