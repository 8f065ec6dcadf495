// The tables of the catalogue and how older ones become them. PRAGMA user_version says how many
// migrations a file has had.
#pragma once

#include "absl/status/status.h"
#include "adapters_store/sqlite.h"

namespace lamella {

// FAILED_PRECONDITION (STORE_TOO_NEW) for a file of a later release, which is left as it is.
absl::Status MigrateCatalogue(SqliteDatabase* db);

}  // namespace lamella
