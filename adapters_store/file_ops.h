// What the store's files share: the errors of the system's calls, and folders that are durable.
// No state, so thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace lamella {

// RESOURCE_EXHAUSTED (STORE_FULL) for ENOSPC and EDQUOT, else UNAVAILABLE (STORE_UNWRITABLE). The
// message says what was attempted ("write a blob") and the system's word for the error, no path.
absl::Status FileError(const char* attempt, int error);

// Makes `path` a folder of mode 0700 unless it is one, and both it and its entry in its parent
// durable.
absl::Status MakeFolder(const std::string& path);
absl::Status SyncFolder(const std::string& path);

}  // namespace lamella
