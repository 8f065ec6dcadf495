// Blobs in a folder. A writer fills a nameless file on the same file system, so that publishing is
// one rename; whatever stands in tmp/ at start-up is from a crash and is removed. One process at a
// time (the caller holds the lock). Thread-safe.
//
//   DIR/tmp/<number>                               under way
//   DIR/blobs/<tenant in hex>/<ab>/<sha256>        published; ab: the first two digits
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "adapters_store/blob_store.h"

namespace lamella {

class LocalBlobStore final : public BlobStore {
 public:
  // Makes the folders and empties tmp/. `dir` exists.
  static absl::StatusOr<std::unique_ptr<LocalBlobStore>> Open(const std::string& dir);

  // As Read, from a store that another process may have open.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> ReadFrom(const std::string& dir,
                                                                    const BlobKey& key,
                                                                    uint64_t max_bytes);

  absl::StatusOr<std::unique_ptr<BlobWriter>> Begin() override;
  absl::StatusOr<std::shared_ptr<const MappedFile>> Read(const BlobKey& key,
                                                         uint64_t max_bytes) const override;
  absl::StatusOr<uint64_t> Size(const BlobKey& key) const override;
  absl::Status Delete(const BlobKey& key) override;
  absl::StatusOr<std::vector<BlobKey>> List(const BlobKey& after, size_t limit) const override;

 private:
  class Writer;
  explicit LocalBlobStore(const std::string& dir);
  std::string ShardOf(const BlobKey& key) const;
  std::string PathOf(const BlobKey& key) const;
  absl::Status MakeShard(const BlobKey& key) const;

  const std::string tmp_;
  const std::string blobs_;
  std::atomic<uint64_t> next_ = 0;
};

}  // namespace lamella
