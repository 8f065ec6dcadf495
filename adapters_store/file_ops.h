// The system calls that make bytes durable, as a seam: a test's version makes the n-th one fail.
// Each method is its call: -1 and errno. The default is the system's; it has no state, so
// thread-safe.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"

namespace lamella {

class FileOps {
 public:
  virtual ~FileOps() = default;
  virtual int Open(const std::string& path, int flags, mode_t mode);
  virtual ssize_t Write(int fd, const void* bytes, size_t size);
  virtual int Fsync(int fd);
  virtual int Close(int fd);
  virtual int Rename(const std::string& from, const std::string& to);
  virtual int Unlink(const std::string& path);
  virtual int Mkdir(const std::string& path, mode_t mode);

  // Never null, never dies.
  static FileOps* System();
};

// RESOURCE_EXHAUSTED (STORE_FULL) for ENOSPC and EDQUOT, else UNAVAILABLE (STORE_UNWRITABLE). The
// message says what was attempted ("write a blob") and the system's word for the error, no path.
absl::Status FileError(const char* attempt, int error);

// Makes `path` a folder of mode 0700 unless it is one, and both it and its entry in its parent
// durable.
absl::Status MakeFolder(FileOps* ops, const std::string& path);
absl::Status SyncFolder(FileOps* ops, const std::string& path);

}  // namespace lamella
