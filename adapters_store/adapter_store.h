// Where adapters are kept and found: the facade behind which stores differ. It stores and
// validates; it never serves, packs or evicts. Thread-safe: every method may be called from any
// thread; Open reads files, the others answer from memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters_store/adapter_validator.h"
#include "common/formats/mapped_file.h"
#include "common/formats/peft_config.h"
#include "common/formats/safetensors.h"

namespace lamella {

// One immutable version of one tenant's adapter.
struct StoredVersion {
  std::string tenant;
  std::string name;
  std::string version;  // 64 lowercase hex digits: see VersionDigest
  std::string alias;    // the alias that points to it, or ""
  int32_t max_rank = 0;
  int32_t modules = 0;  // how many modules of the base it changes
  int64_t parameters = 0;
  uint64_t weights_bytes = 0;  // of the weights file
};

// What an owner sees of an adapter, usable or not.
struct AdapterListing {
  StoredVersion version;  // of a refused adapter only tenant and name are set
  absl::Status status;    // OK: usable; else why it was refused
};

// A version's content, opened and checked. `validated` points into `weights`.
struct AdapterFiles {
  PeftConfig config;
  std::shared_ptr<const SafetensorsFile> weights;
  ValidatedAdapter validated;
};

class AdapterStore {
 public:
  virtual ~AdapterStore() = default;

  // `adapter_id` as adapter_id.h has it. INVALID_ARGUMENT (INVALID_ADAPTER_ID); NOT_FOUND
  // (ADAPTER_NOT_FOUND); for a refused adapter its own validation status, the message prefixed with
  // the adapter's name. Where an alias splits traffic, equal routing keys get equal versions.
  virtual absl::StatusOr<StoredVersion> Resolve(std::string_view tenant,
                                                std::string_view adapter_id,
                                                std::string_view routing_key) const = 0;

  // Everything the tenant has, refused adapters too, sorted by name. Empty for unknown tenants.
  virtual std::vector<AdapterListing> List(std::string_view tenant) const = 0;

  // Reads the files of (version.tenant, version.version); other members are not looked at. Blocks
  // on the disk. NOT_FOUND (ADAPTER_NOT_FOUND) for a version that is not there, DATA_LOSS
  // (DIGEST_MISMATCH, MISSING_FILE) if the files are no longer what was validated, UNAVAILABLE
  // (INTERNAL) or RESOURCE_EXHAUSTED if they cannot be read just now.
  virtual absl::StatusOr<AdapterFiles> Open(const StoredVersion& version) const = 0;
};

// The version of an adapter: SHA-256 over its canonical config and its weights file's SHA-256 (64
// lowercase hex digits), so the same upload is the same version wherever it is made.
std::string VersionDigest(const PeftConfig& config, std::string_view weights_sha256);

}  // namespace lamella
