#include "adapters_store/file_ops.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {

absl::Status FileError(const char* attempt, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  const std::string message =
      absl::StrCat("the store cannot ", attempt, ": ", std::generic_category().message(error));
  return full ? MakeError(absl::StatusCode::kResourceExhausted, reasons::kStoreFull, "", message)
              : MakeError(absl::StatusCode::kUnavailable, reasons::kStoreUnwritable, "", message);
}

absl::Status SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError("open a folder", errno);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus() : FileError("make a folder durable", error);
}

absl::Status MakeFolder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0) {
    const size_t slash = path.find_last_of('/');
    return SyncFolder(slash == std::string::npos ? "." : path.substr(0, slash + 1));
  }
  if (errno != EEXIST) return FileError("make a folder", errno);
  return absl::OkStatus();
}

}  // namespace lamella
