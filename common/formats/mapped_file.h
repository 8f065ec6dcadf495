// The bytes of one file, read-only, for as long as someone holds the object. Two ways in: a mapping
// (base models: large, and nobody rewrites them while they are served) and a private copy
// (adapters: small, and a copy cannot change under us or fault when someone truncates the file). It
// parses nothing. Immutable after opening, so thread-safe; owners share it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/page_memory.h"

namespace lamella {

// What the file system says of a file's identity: equal stamps mean that nobody has written to it
// in between, short of forging times.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

class MappedFile {
 public:
  // Maps a regular file. NOT_FOUND (MISSING_FILE) if there is none; UNAVAILABLE (INTERNAL) or
  // RESOURCE_EXHAUSTED if that remains unknown, for example while descriptors are short. The message
  // names the last component of `path` only. An empty file has no bytes and is no error.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);

  // Reads a regular file into memory of its own. As Open, and DATA_LOSS (DIGEST_MISMATCH) if it
  // changes meanwhile, INVALID_ARGUMENT (LIMIT_EXCEEDED) above
  // `max_bytes`, before anything is allocated.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> ReadCopy(const std::string& path,
                                                                    uint64_t max_bytes);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  // Of the open file, taken before its first byte was read.
  const FileStamp& stamp() const { return stamp_; }

 private:
  MappedFile(std::span<const std::byte> mapping, const FileStamp& stamp)
      : mapping_(mapping), bytes_(mapping), stamp_(stamp) {}
  MappedFile(PageMemory copy, const FileStamp& stamp)
      : copy_(std::move(copy)), bytes_(copy_.data(), copy_.size()), stamp_(stamp) {}

  std::span<const std::byte> mapping_;  // from mmap, or empty
  PageMemory copy_;                     // or this one
  std::span<const std::byte> bytes_;    // of either
  FileStamp stamp_;
};

}  // namespace lamella
