#include "adapters_store/folder_adapter_store.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters_store/adapter_id.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

namespace fs = std::filesystem;

constexpr char kConfigFile[] = "adapter_config.json";
constexpr char kWeightsFile[] = "adapter_model.safetensors";
constexpr char kPickleFile[] = "adapter_model.bin";

// Folder names are bytes; what is shown must be text.
std::string Printable(std::string name) {
  for (char& c : name) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return name;
}

absl::Status Prefixed(const std::string& name, const absl::Status& status) {
  return MakeError(status.code(), ErrorReason(status), ErrorField(status),
                   absl::StrCat("adapter ", QuoteForMessage(name), ": ", status.message()));
}

// To a caller, a file that an adapter lacks is a fault of the adapter, not an unknown adapter.
absl::Status AsAdapterFault(const absl::Status& status) {
  if (ErrorReason(status) != reasons::kMissingFile) return status;
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMissingFile, ErrorField(status),
                   std::string(status.message()));
}

absl::Status DataLoss(const char* reason, const std::string& name, std::string_view what) {
  return MakeError(
      absl::StatusCode::kDataLoss, reason, kWeightsFile,
      absl::StrCat("adapter ", QuoteForMessage(name), ": ", kWeightsFile, " ", std::string(what)));
}

absl::StatusOr<std::shared_ptr<const MappedFile>> ReadWeights(const std::string& folder,
                                                              uint64_t max_bytes) {
  auto file = MappedFile::ReadCopy(folder + "/" + kWeightsFile, max_bytes);
  std::error_code ignored;
  if (!file.ok() && ErrorReason(file.status()) == reasons::kMissingFile &&
      fs::exists(folder + "/" + kPickleFile, ignored)) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kUnsupportedFormat, kPickleFile,
                     absl::StrCat(kPickleFile, " is a pickle; convert it to ", kWeightsFile,
                                  " with save_pretrained(..., safe_serialization=True)"));
  }
  return file;
}

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

FolderAdapterStore::FolderAdapterStore(BaseSpec base, const AdapterLimits& limits)
    : base_(std::move(base)), limits_(limits) {}

absl::StatusOr<std::unique_ptr<FolderAdapterStore>> FolderAdapterStore::Open(
    const std::string& dir, const BaseSpec& base, const AdapterLimits& limits) {
  std::unique_ptr<FolderAdapterStore> store(new FolderAdapterStore(base, limits));
  std::error_code error;
  fs::directory_iterator folder(dir, error);
  for (; !error && folder != fs::directory_iterator(); folder.increment(error)) {
    const std::string name = folder->path().filename().string();
    std::error_code unreadable;
    if (name.starts_with('.') || !folder->is_directory(unreadable)) continue;
    store->entries_.emplace(name, store->Examine(folder->path().string(), name));
  }
  if (error) {
    return MakeError(absl::StatusCode::kNotFound, reasons::kMissingFile, "adapters_dir",
                     absl::StrCat("the folder of adapters cannot be read: ", error.message()));
  }
  for (const auto& [name, entry] : store->entries_) {
    if (entry.listing.status.ok()) store->by_version_.emplace(entry.listing.version.version, name);
  }
  return store;
}

FolderAdapterStore::Entry FolderAdapterStore::Examine(const std::string& folder,
                                                      const std::string& name) const {
  Entry entry;
  entry.listing.version.tenant = kDefaultTenant;
  entry.listing.version.name = Printable(name);
  if (!IsValidResourceId(name)) {
    entry.listing.status =
        MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidAdapterId, "name",
                  absl::StrCat("the folder ", QuoteForMessage(Printable(name)),
                               " is no name for an adapter: up to 64 characters of a-z 0-9 . _ -"));
    return entry;
  }
  const absl::Status status = Fill(folder, &entry);
  if (!status.ok()) entry.listing.status = Prefixed(name, AsAdapterFault(status));
  return entry;
}

// Everything is computed from one copy of each file, so what is hashed is what was validated.
absl::Status FolderAdapterStore::Fill(const std::string& folder, Entry* entry) const {
  ASSIGN_OR_RETURN(const auto config_file, MappedFile::ReadCopy(folder + "/" + kConfigFile,
                                                                limits_.config.max_config_bytes));
  ASSIGN_OR_RETURN(entry->config, ParsePeftConfig(AsText(config_file->bytes()), limits_.config));
  ASSIGN_OR_RETURN(const auto file, ReadWeights(folder, limits_.tensors.max_file_bytes));
  ASSIGN_OR_RETURN(const SafetensorsFile weights,
                   SafetensorsFile::Parse(file->bytes(), limits_.tensors));
  ASSIGN_OR_RETURN(const ValidatedAdapter validated,
                   ValidateAdapter(entry->config, weights, base_, limits_));
  RETURN_IF_ERROR(CheckFinite(weights, limits_.max_abs_value));

  entry->folder = folder;
  entry->weights_sha256 = Sha256Hex(file->bytes());
  entry->stamp = file->stamp();
  StoredVersion& version = entry->listing.version;
  version.version = VersionDigest(entry->config, entry->weights_sha256);
  version.alias = kLiveAlias;
  version.max_rank = validated.max_rank;
  version.modules = static_cast<int32_t>(validated.modules.size());
  version.parameters = validated.parameters;
  version.weights_bytes = file->bytes().size();
  return absl::OkStatus();
}

absl::StatusOr<StoredVersion> FolderAdapterStore::Resolve(std::string_view tenant,
                                                          std::string_view adapter_id,
                                                          std::string_view /*routing_key*/) const {
  ASSIGN_OR_RETURN(const AdapterId id, ParseAdapterId(adapter_id));
  const auto found = tenant == kDefaultTenant ? entries_.find(id.name) : entries_.end();
  if (found == entries_.end()) return AdapterNotFound(adapter_id);
  const AdapterListing& listing = found->second.listing;
  const bool known = id.version_prefix.empty()
                         ? id.alias == kLiveAlias
                         : listing.version.version.starts_with(id.version_prefix);
  // A refused adapter has no version, so only its alias leads to its status.
  if (!known) return AdapterNotFound(adapter_id);
  if (!listing.status.ok()) return listing.status;
  return listing.version;
}

std::vector<AdapterListing> FolderAdapterStore::List(std::string_view tenant) const {
  std::vector<AdapterListing> listings;
  if (tenant != kDefaultTenant) return listings;
  for (const auto& [name, entry] : entries_) listings.push_back(entry.listing);
  return listings;
}

absl::StatusOr<AdapterFiles> FolderAdapterStore::Open(const StoredVersion& version) const {
  const auto name = by_version_.find(version.version);
  if (version.tenant != kDefaultTenant || name == by_version_.end()) {
    return AdapterNotFound(version.name);
  }
  const Entry& entry = entries_.find(name->second)->second;
  auto file = ReadWeights(entry.folder, limits_.tensors.max_file_bytes);
  if (absl::IsUnavailable(file.status()) || absl::IsResourceExhausted(file.status())) {
    return Prefixed(name->second, file.status());
  }
  if (!file.ok()) {
    const bool changed = ErrorReason(file.status()) != reasons::kMissingFile;
    return DataLoss(changed ? reasons::kDigestMismatch : reasons::kMissingFile, name->second,
                    changed ? "is no longer what was validated" : "can no longer be read");
  }
  // Hashing costs as much as reading; a file that nobody wrote to needs none.
  const bool untouched = (*file)->stamp() == entry.stamp;
  if (!untouched && Sha256Hex((*file)->bytes()) != entry.weights_sha256) {
    return DataLoss(reasons::kDigestMismatch, name->second, "is no longer what was validated");
  }
  AdapterFiles files;
  files.config = entry.config;
  ASSIGN_OR_RETURN(files.weights, SafetensorsFile::Open(*std::move(file), limits_.tensors));
  ASSIGN_OR_RETURN(files.validated, ValidateAdapter(files.config, *files.weights, base_, limits_));
  return files;
}

}  // namespace lamella
