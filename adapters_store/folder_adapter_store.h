// A read-only folder of PEFT adapters:
// <dir>/<name>/{adapter_config.json,adapter_model.safetensors}, all of one tenant, each with one
// version, to which `live` points. Everything is validated when the folder is opened; a bad adapter
// stays listed as refused and stops no other. Later changes of the folder are not picked up: a
// changed file is refused at Open. Immutable, so thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters_store/adapter_store.h"
#include "common/formats/base_spec.h"

namespace lamella {

inline constexpr char kDefaultTenant[] = "default";

class FolderAdapterStore final : public AdapterStore {
 public:
  // Reads and validates every sub-folder of `dir` (those whose name starts with '.' aside). Blocks
  // for as long as reading and hashing takes. NOT_FOUND (MISSING_FILE) if there is no such folder;
  // `base` is copied.
  static absl::StatusOr<std::unique_ptr<FolderAdapterStore>> Open(const std::string& dir,
                                                                  const BaseSpec& base,
                                                                  const AdapterLimits& limits);

  absl::StatusOr<StoredVersion> Resolve(std::string_view tenant, std::string_view adapter_id,
                                        std::string_view routing_key) const override;
  std::vector<AdapterListing> List(std::string_view tenant) const override;
  absl::StatusOr<AdapterFiles> Open(const StoredVersion& version) const override;

 private:
  struct Entry {
    AdapterListing listing;
    PeftConfig config;
    std::string folder;
    std::string weights_sha256;
    FileStamp stamp;  // of the weights when they were validated
  };

  FolderAdapterStore(BaseSpec base, const AdapterLimits& limits);
  Entry Examine(const std::string& folder, const std::string& name) const;
  absl::Status Fill(const std::string& folder, Entry* entry) const;

  const BaseSpec base_;
  const AdapterLimits limits_;
  std::map<std::string, Entry> entries_;           // by folder name
  std::map<std::string, std::string> by_version_;  // usable ones: digest -> folder name
};

}  // namespace lamella
