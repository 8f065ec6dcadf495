#include "common/formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/base/time_slices.h"

namespace lamella {
namespace {

constexpr size_t kPieceBytes = size_t{256} << 10;  // a small part of a millisecond

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

std::string BaseName(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

absl::Status Missing(const std::string& path, std::string_view why) {
  return MakeError(absl::StatusCode::kNotFound, reasons::kMissingFile, BaseName(path),
                   absl::StrCat(BaseName(path), ": ", std::string(why)));
}

// For all that says nothing about whether the file is there.
absl::Status Unreadable(const std::string& path, int error) {
  return MakeError(
      absl::StatusCode::kUnavailable, reasons::kInternal, BaseName(path),
      absl::StrCat(BaseName(path), ": cannot be read: ", std::generic_category().message(error)));
}

absl::Status NotOpened(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) return Missing(path, "no such file");
  return Unreadable(path, error);
}

absl::Status NoMemory(const std::string& path, uint64_t bytes) {
  return MakeError(absl::StatusCode::kResourceExhausted, reasons::kInternal, BaseName(path),
                   absl::StrCat(BaseName(path), ": no address space for ", bytes, " bytes"));
}

int64_t Nanoseconds(const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }

absl::StatusOr<FileStamp> StampOf(int fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return Unreadable(path, errno);
  if (!S_ISREG(info.st_mode)) return Missing(path, "is not a regular file");
  return FileStamp{.device = info.st_dev,
                   .inode = info.st_ino,
                   .size_bytes = static_cast<uint64_t>(info.st_size),
                   .modified_ns = Nanoseconds(info.st_mtim),
                   .changed_ns = Nanoseconds(info.st_ctim)};
}

// O_NONBLOCK: a FIFO must not hang the opener. It means nothing to regular files.
int OpenForReading(const std::string& path) {
  return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

// Fills `out` from the file's start; what it got: less if the file ended before that, -1 and errno
// if it failed.
ssize_t ReadAll(int fd, std::byte* out, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = read(fd, out + done, std::min(size - done, kPieceBytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return n;
    if (n == 0) break;
    done += static_cast<size_t>(n);
    TimeSlices::Rest();
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  const Descriptor fd(OpenForReading(path));
  if (fd.get() < 0) return NotOpened(path, errno);
  ASSIGN_OR_RETURN(const FileStamp stamp, StampOf(fd.get(), path));
  std::span<const std::byte> bytes;
  if (stamp.size_bytes > 0) {
    void* at = mmap(nullptr, stamp.size_bytes, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (at == MAP_FAILED) return NoMemory(path, stamp.size_bytes);
    bytes = {static_cast<const std::byte*>(at), stamp.size_bytes};
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(bytes, stamp));
}

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::ReadCopy(const std::string& path,
                                                                       uint64_t max_bytes) {
  const Descriptor fd(OpenForReading(path));
  if (fd.get() < 0) return NotOpened(path, errno);
  ASSIGN_OR_RETURN(const FileStamp stamp, StampOf(fd.get(), path));
  if (stamp.size_bytes > max_bytes) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kLimitExceeded, BaseName(path),
                     absl::StrCat(BaseName(path), ": at most ", max_bytes, " bytes, the file has ",
                                  stamp.size_bytes));
  }
  PageMemory copy = PageMemory::Recycled(stamp.size_bytes);
  if (copy.size() != stamp.size_bytes) return NoMemory(path, stamp.size_bytes);
  const ssize_t got = ReadAll(fd.get(), copy.data(), copy.size());
  if (got < 0) return Unreadable(path, errno);
  ASSIGN_OR_RETURN(const FileStamp after, StampOf(fd.get(), path));
  if (static_cast<size_t>(got) != copy.size() || after != stamp) {
    return MakeError(absl::StatusCode::kDataLoss, reasons::kDigestMismatch, BaseName(path),
                     absl::StrCat(BaseName(path), ": changed while it was read"));
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(std::move(copy), stamp));
}

MappedFile::~MappedFile() {
  // munmap takes a non-const address; nothing is written through it.
  if (!mapping_.empty()) munmap(const_cast<std::byte*>(mapping_.data()), mapping_.size());
}

}  // namespace lamella
