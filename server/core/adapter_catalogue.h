// Names to versions, answered from memory. Thread-safe; never touches a disk.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/core/adapter_ref.h"

namespace lamella {

// What a tenant may see of one of its adapters.
struct AdapterSummary {
  AdapterRef ref;
  std::string alias;  // one that points to ref.version, such as "live"; "" if none does
  int32_t max_rank = 0;
  Residency residency = Residency::kDisk;
};

class AdapterCatalogue {
 public:
  virtual ~AdapterCatalogue() = default;

  // `adapter_id`: "" (base), "A" (alias live), "A@alias", "A@sha256:<at least 12 hex>".
  // INVALID_ARGUMENT (INVALID_ADAPTER_ID) if it has no such form; NOT_FOUND (ADAPTER_NOT_FOUND) for
  // unknown and foreign adapters alike; the validator's status for one that was refused.
  // Where an alias splits traffic, equal routing keys get equal versions.
  virtual absl::StatusOr<AdapterRef> Resolve(std::string_view tenant, std::string_view adapter_id,
                                             std::string_view routing_key) const = 0;

  // One for each version and alias of it, or for a version without one; sorted by name, then alias,
  // then version.
  virtual std::vector<AdapterSummary> ListUsable(std::string_view tenant) const = 0;
};

}  // namespace lamella
