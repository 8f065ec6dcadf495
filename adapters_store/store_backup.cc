// BackupStore: a copy of a store that a server may have open.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "adapters_store/durable_adapter_store.h"
#include "adapters_store/file_ops.h"
#include "adapters_store/local_blob_store.h"
#include "adapters_store/sqlite_catalogue.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"

namespace lamella {
namespace {

namespace fs = std::filesystem;

constexpr char kCatalogueFile[] = "/catalogue.sqlite";
constexpr size_t kPage = 1000;

absl::Status Lost() {
  return MakeError(absl::StatusCode::kDataLoss, reasons::kDigestMismatch, "",
                   "a weights file is not what was stored: scrub the store, then back it up");
}

// Through the path of a blob's writer, so that the copy is as durable as the original.
absl::Status CopyBlob(const std::string& store_dir, const VersionRow& row, LocalBlobStore* to) {
  const BlobKey key{row.tenant, row.weights_sha256};
  if (to->Size(key).ok()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto from, LocalBlobStore::ReadFrom(store_dir, key, row.weights_bytes));
  if (Sha256Hex(from->bytes()) != key.sha256) return Lost();
  ASSIGN_OR_RETURN(const auto writer, to->Begin());
  RETURN_IF_ERROR(writer->Append(from->bytes()));
  RETURN_IF_ERROR(writer->Seal());
  return writer->Publish(key);
}

}  // namespace

absl::Status BackupStore(const std::string& store_dir, const std::string& dir) {
  std::error_code ignored;
  if (fs::exists(dir, ignored) && !fs::is_empty(dir, ignored)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reasons::kStoreUnwritable, "dir",
                     "the folder for the backup is not empty");
  }
  if (!fs::exists(store_dir + kCatalogueFile, ignored)) {
    return MakeError(absl::StatusCode::kNotFound, reasons::kMissingFile, "store_dir",
                     "there is no store in this folder");
  }
  RETURN_IF_ERROR(MakeFolder(dir));
  {
    ASSIGN_OR_RETURN(const SqliteDatabase db,
                     SqliteDatabase::Open(store_dir + kCatalogueFile, true, ""));
    RETURN_IF_ERROR(db.BackupTo(dir + kCatalogueFile));
  }
  ASSIGN_OR_RETURN(const auto catalogue, SqliteCatalogue::Open(dir + kCatalogueFile));
  ASSIGN_OR_RETURN(const auto blobs, LocalBlobStore::Open(dir));
  VersionRow last;
  for (bool more = true; more;) {
    ASSIGN_OR_RETURN(const auto page, catalogue->ListVersions(last, kPage));
    for (const VersionRow& row : page) {
      if (row.state == VersionState::kReady) RETURN_IF_ERROR(CopyBlob(store_dir, row, blobs.get()));
    }
    more = page.size() == kPage;
    if (!page.empty()) last = page.back();
  }
  return SyncFolder(dir);
}

}  // namespace lamella
