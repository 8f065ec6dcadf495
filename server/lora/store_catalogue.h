// The engine's catalogue over the adapter store: the store says what exists and who owns it, the
// manager what is in memory. Answers from memory; thread-safe.
#pragma once

#include <string_view>
#include <vector>

#include "adapters_store/adapter_store.h"
#include "server/core/adapter_catalogue.h"
#include "server/lora/adapter_manager.h"

namespace lamella {

class StoreCatalogue final : public AdapterCatalogue {
 public:
  // Borrowed; both outlive the catalogue.
  StoreCatalogue(const AdapterStore* store, const AdapterManager* manager)
      : store_(store), manager_(manager) {}

  absl::StatusOr<AdapterRef> Resolve(std::string_view tenant, std::string_view adapter_id,
                                     std::string_view routing_key) const override;
  std::vector<AdapterSummary> ListUsable(std::string_view tenant) const override;

 private:
  const AdapterStore* const store_;
  const AdapterManager* const manager_;
};

}  // namespace lamella
