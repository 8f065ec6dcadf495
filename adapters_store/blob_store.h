// The port behind which weights files are kept: immutable bytes under (tenant, SHA-256), never
// shared between tenants. It knows no versions and no names, and nothing above it knows a path. The
// embedded store is a folder (local_blob_store.h); an object store fits behind it as well.
//
//   Begin -> Append* -> Seal -> Publish      Seal: durable, still nameless; Publish: there, durable
//     any writer that dies unpublished leaves nothing
//
// Errors: RESOURCE_EXHAUSTED (STORE_FULL) for a full disk, UNAVAILABLE (STORE_UNWRITABLE) for any
// other failure to write, NOT_FOUND (MISSING_FILE) for a blob that certainly is not there,
// UNAVAILABLE (INTERNAL) or RESOURCE_EXHAUSTED for one that cannot be read just now. A blob
// store is thread-safe, a writer serves one thread at a time.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/formats/mapped_file.h"

namespace lamella {

struct BlobKey {
  std::string tenant;
  std::string sha256;  // 64 lowercase hex digits

  friend auto operator<=>(const BlobKey&, const BlobKey&) = default;
};

class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  virtual absl::Status Append(std::span<const std::byte> bytes) = 0;
  virtual absl::Status Seal() = 0;
  // After Seal. Replaces a blob of that key; a reader keeps the bytes that it has.
  virtual absl::Status Publish(const BlobKey& key) = 0;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> Begin() = 0;
  // A copy of the bytes, unchecked; its stamp changes when the blob is written again.
  virtual absl::StatusOr<std::shared_ptr<const MappedFile>> Read(const BlobKey& key,
                                                                 uint64_t max_bytes) const = 0;
  virtual absl::StatusOr<uint64_t> Size(const BlobKey& key) const = 0;
  // OK if there is none.
  virtual absl::Status Delete(const BlobKey& key) = 0;
  // Those after `after`, sorted, at most `limit`.
  virtual absl::StatusOr<std::vector<BlobKey>> List(const BlobKey& after, size_t limit) const = 0;
};

}  // namespace lamella
