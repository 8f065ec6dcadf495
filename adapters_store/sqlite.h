// SQLite's handles as values that close themselves and its results as statuses: only what
// sqlite_catalogue.cc needs. One object serves one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace lamella {

// A prepared statement. Binding counts from 1, columns from 0.
class SqliteStatement {
 public:
  // Binds the next parameter.
  SqliteStatement& Bind(std::string_view text);
  SqliteStatement& Bind(int64_t number);
  // True: there is a row. False: the statement is done.
  absl::StatusOr<bool> Step();
  // Steps to the end.
  absl::Status Run();

  std::string Text(int column) const;
  int64_t Int(int column) const;
  bool IsNull(int column) const;

 private:
  friend class SqliteDatabase;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit SqliteStatement(sqlite3_stmt* statement) : statement_(statement) {}

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bound_ = 0;
};

class SqliteDatabase {
 public:
  // Makes the file unless `read_only`. `vfs` "" is the system's.
  static absl::StatusOr<SqliteDatabase> Open(const std::string& path, bool read_only,
                                             const std::string& vfs);

  absl::Status Execute(const char* sql);
  absl::StatusOr<SqliteStatement> Prepare(std::string_view sql) const;
  // Copies everything into the new file `path`.
  absl::Status BackupTo(const std::string& path) const;

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  std::unique_ptr<sqlite3, Close> db_;
};

// One transaction: rolled back unless committed.
class SqliteTransaction {
 public:
  static absl::StatusOr<SqliteTransaction> Begin(SqliteDatabase* db);
  SqliteTransaction(SqliteTransaction&& other) noexcept;
  ~SqliteTransaction();
  absl::Status Commit();

 private:
  explicit SqliteTransaction(SqliteDatabase* db) : db_(db) {}
  SqliteDatabase* db_;  // null when it ended
};

}  // namespace lamella
