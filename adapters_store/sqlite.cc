#include "adapters_store/sqlite.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

// Paths do not appear in sqlite3_errstr.
absl::Status SqliteError(int result) {
  const std::string message = absl::StrCat("the catalogue: ", sqlite3_errstr(result));
  switch (result & 0xff) {
    case SQLITE_FULL:
      return MakeError(absl::StatusCode::kResourceExhausted, reasons::kStoreFull, "", message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return MakeError(absl::StatusCode::kDataLoss, reasons::kStoreCorrupt, "", message);
    case SQLITE_CONSTRAINT:
    case SQLITE_MISUSE:
    case SQLITE_ERROR:
      return MakeError(absl::StatusCode::kInternal, reasons::kInternal, "", message);
    default:
      return MakeError(absl::StatusCode::kUnavailable, reasons::kStoreUnwritable, "", message);
  }
}

constexpr int kBusyMilliseconds = 10'000;

}  // namespace

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

SqliteStatement& SqliteStatement::Bind(std::string_view text) {
  sqlite3_bind_text64(statement_.get(), ++bound_, text.data() == nullptr ? "" : text.data(),
                      text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int64_t number) {
  sqlite3_bind_int64(statement_.get(), ++bound_, number);
  return *this;
}

absl::StatusOr<bool> SqliteStatement::Step() {
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return SqliteError(sqlite3_extended_errcode(sqlite3_db_handle(statement_.get())));
}

absl::Status SqliteStatement::Run() {
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

std::string SqliteStatement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return text == nullptr ? std::string() : std::string(text, static_cast<size_t>(size));
}

int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void SqliteDatabase::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

absl::StatusOr<SqliteDatabase> SqliteDatabase::Open(const std::string& path, bool read_only,
                                                    const std::string& vfs) {
  sqlite3* raw = nullptr;
  const int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int result = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_FULLMUTEX,
                                     vfs.empty() ? nullptr : vfs.c_str());
  SqliteDatabase db;
  db.db_.reset(raw);
  if (result != SQLITE_OK) return SqliteError(result);
  sqlite3_busy_timeout(raw, kBusyMilliseconds);
  return db;
}

absl::Status SqliteDatabase::Execute(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return SqliteError(sqlite3_extended_errcode(db_.get()));
}

absl::StatusOr<SqliteStatement> SqliteDatabase::Prepare(std::string_view sql) const {
  sqlite3_stmt* statement = nullptr;
  const int result =
      sqlite3_prepare_v2(db_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (result != SQLITE_OK) return SqliteError(sqlite3_extended_errcode(db_.get()));
  return SqliteStatement(statement);
}

absl::Status SqliteDatabase::BackupTo(const std::string& path) const {
  ASSIGN_OR_RETURN(SqliteDatabase copy, Open(path, false, ""));
  sqlite3_backup* backup = sqlite3_backup_init(copy.db_.get(), "main", db_.get(), "main");
  if (backup == nullptr) return SqliteError(sqlite3_extended_errcode(copy.db_.get()));
  const int stepped = sqlite3_backup_step(backup, -1);
  const int finished = sqlite3_backup_finish(backup);
  if (stepped != SQLITE_DONE) return SqliteError(stepped);
  return finished == SQLITE_OK ? absl::OkStatus() : SqliteError(finished);
}

absl::StatusOr<SqliteTransaction> SqliteTransaction::Begin(SqliteDatabase* db) {
  RETURN_IF_ERROR(db->Execute("BEGIN IMMEDIATE"));
  return SqliteTransaction(db);
}

SqliteTransaction::SqliteTransaction(SqliteTransaction&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)) {}

SqliteTransaction::~SqliteTransaction() {
  // Some failures have rolled back already, which this then reports: nothing to act on.
  if (db_ != nullptr) (void)db_->Execute("ROLLBACK");
}

absl::Status SqliteTransaction::Commit() {
  RETURN_IF_ERROR(db_->Execute("COMMIT"));
  db_ = nullptr;
  return absl::OkStatus();
}

}  // namespace lamella
