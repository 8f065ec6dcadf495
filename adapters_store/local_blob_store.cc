#include "adapters_store/local_blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "adapters_store/file_ops.h"
#include "common/base/error.h"
#include "common/base/fail_point.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"

namespace lamella {
namespace {

namespace fs = std::filesystem;

constexpr int kReadsAgain = 8;

absl::Status MissingBlob() {
  return MakeError(absl::StatusCode::kNotFound, reasons::kMissingFile, "",
                   "the weights file is not in the store");
}

absl::Status UnreadableBlob() {
  return MakeError(absl::StatusCode::kUnavailable, reasons::kInternal, "",
                   "the weights file cannot be read just now");
}

// Names of a folder's entries, sorted; none if there is no such folder.
std::vector<std::string> SortedNames(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

class LocalBlobStore::Writer final : public BlobWriter {
 public:
  Writer(LocalBlobStore* store, std::string path, int fd)
      : store_(store), path_(std::move(path)), fd_(fd) {}
  ~Writer() override {
    if (fd_ >= 0) close(fd_);
    if (!published_) unlink(path_.c_str());
  }

  absl::Status Append(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return FileError("write a blob", n < 0 ? errno : EIO);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  absl::Status Seal() override {
    if (fsync(fd_) != 0) return FileError("make a blob durable", errno);
    if (close(std::exchange(fd_, -1)) != 0) return FileError("close a blob", errno);
    FailPoint("store.blob.sealed");
    return absl::OkStatus();
  }

  absl::Status Publish(const BlobKey& key) override {
    RETURN_IF_ERROR(store_->MakeShard(key));
    FailPoint("store.blob.before_rename");
    if (rename(path_.c_str(), store_->PathOf(key).c_str()) != 0) {
      return FileError("name a blob", errno);
    }
    published_ = true;
    FailPoint("store.blob.renamed");
    return SyncFolder(store_->ShardOf(key));
  }

 private:
  LocalBlobStore* const store_;
  const std::string path_;
  int fd_;
  bool published_ = false;
};

LocalBlobStore::LocalBlobStore(const std::string& dir)
    : tmp_(dir + "/tmp"), blobs_(dir + "/blobs") {}

absl::StatusOr<std::unique_ptr<LocalBlobStore>> LocalBlobStore::Open(const std::string& dir) {
  std::unique_ptr<LocalBlobStore> store(new LocalBlobStore(dir));
  RETURN_IF_ERROR(MakeFolder(store->tmp_));
  RETURN_IF_ERROR(MakeFolder(store->blobs_));
  for (const std::string& name : SortedNames(store->tmp_)) {
    if (unlink((store->tmp_ + "/" + name).c_str()) != 0) {
      return FileError("remove a temporary file", errno);
    }
  }
  return store;
}

std::string LocalBlobStore::ShardOf(const BlobKey& key) const {
  return absl::StrCat(blobs_, "/", absl::BytesToHexString(key.tenant), "/",
                      key.sha256.substr(0, 2));
}

std::string LocalBlobStore::PathOf(const BlobKey& key) const {
  return absl::StrCat(ShardOf(key), "/", key.sha256);
}

absl::Status LocalBlobStore::MakeShard(const BlobKey& key) const {
  const std::string shard = ShardOf(key);
  std::error_code ignored;
  if (fs::is_directory(shard, ignored)) return absl::OkStatus();
  RETURN_IF_ERROR(MakeFolder(shard.substr(0, shard.find_last_of('/'))));
  return MakeFolder(shard);
}

absl::StatusOr<std::unique_ptr<BlobWriter>> LocalBlobStore::Begin() {
  std::string path = absl::StrCat(tmp_, "/", next_.fetch_add(1));
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("make a temporary file", errno);
  return std::make_unique<Writer>(this, std::move(path), fd);
}

absl::StatusOr<std::shared_ptr<const MappedFile>> LocalBlobStore::Read(const BlobKey& key,
                                                                       uint64_t max_bytes) const {
  auto file = MappedFile::ReadCopy(PathOf(key), max_bytes);
  // A repeated upload of the same bytes takes over the name, which changes the old file's stamp
  // while it is read. The new one is read then.
  for (int again = 0; again < kReadsAgain && absl::IsDataLoss(file.status()); ++again) {
    file = MappedFile::ReadCopy(PathOf(key), max_bytes);
  }
  if (absl::IsNotFound(file.status())) return MissingBlob();
  if (absl::IsUnavailable(file.status())) return UnreadableBlob();
  return file;
}

absl::StatusOr<std::shared_ptr<const MappedFile>> LocalBlobStore::ReadFrom(const std::string& dir,
                                                                           const BlobKey& key,
                                                                           uint64_t max_bytes) {
  return LocalBlobStore(dir).Read(key, max_bytes);
}

absl::StatusOr<uint64_t> LocalBlobStore::Size(const BlobKey& key) const {
  struct stat info {};
  if (stat(PathOf(key).c_str(), &info) != 0) {
    return errno == ENOENT || errno == ENOTDIR ? MissingBlob() : UnreadableBlob();
  }
  if (!S_ISREG(info.st_mode)) return MissingBlob();
  return static_cast<uint64_t>(info.st_size);
}

absl::Status LocalBlobStore::Delete(const BlobKey& key) {
  if (unlink(PathOf(key).c_str()) != 0 && errno != ENOENT) return FileError("delete a blob", errno);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<BlobKey>> LocalBlobStore::List(const BlobKey& after,
                                                          size_t limit) const {
  std::vector<BlobKey> keys;
  for (const std::string& folder : SortedNames(blobs_)) {
    BlobKey key{.tenant = absl::HexStringToBytes(folder)};
    if (key.tenant < after.tenant) continue;
    for (const std::string& shard : SortedNames(absl::StrCat(blobs_, "/", folder))) {
      for (const std::string& name : SortedNames(absl::StrCat(blobs_, "/", folder, "/", shard))) {
        key.sha256 = name;
        if (!IsLowerHex(name) || key <= after) continue;
        if (keys.size() == limit) return keys;
        keys.push_back(key);
      }
    }
  }
  return keys;
}

}  // namespace lamella
