#include "adapters_store/file_ops.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {

int FileOps::Open(const std::string& path, int flags, mode_t mode) {
  return open(path.c_str(), flags, mode);
}
ssize_t FileOps::Write(int fd, const void* bytes, size_t size) { return write(fd, bytes, size); }
int FileOps::Fsync(int fd) { return fsync(fd); }
int FileOps::Close(int fd) { return close(fd); }
int FileOps::Rename(const std::string& from, const std::string& to) {
  return rename(from.c_str(), to.c_str());
}
int FileOps::Unlink(const std::string& path) { return unlink(path.c_str()); }
int FileOps::Mkdir(const std::string& path, mode_t mode) { return mkdir(path.c_str(), mode); }

FileOps* FileOps::System() {
  static FileOps system;
  return &system;
}

absl::Status FileError(const char* attempt, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  const std::string message =
      absl::StrCat("the store cannot ", attempt, ": ", std::generic_category().message(error));
  return full ? MakeError(absl::StatusCode::kResourceExhausted, reasons::kStoreFull, "", message)
              : MakeError(absl::StatusCode::kUnavailable, reasons::kStoreUnwritable, "", message);
}

absl::Status SyncFolder(FileOps* ops, const std::string& path) {
  const int fd = ops->Open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return FileError("open a folder", errno);
  const int result = ops->Fsync(fd);
  const int error = errno;
  ops->Close(fd);
  return result == 0 ? absl::OkStatus() : FileError("make a folder durable", error);
}

absl::Status MakeFolder(FileOps* ops, const std::string& path) {
  if (ops->Mkdir(path, 0700) == 0) {
    const size_t slash = path.find_last_of('/');
    return SyncFolder(ops, slash == std::string::npos ? "." : path.substr(0, slash + 1));
  }
  if (errno != EEXIST) return FileError("make a folder", errno);
  return absl::OkStatus();
}

}  // namespace lamella
