// The part of an adapter store that the churn changes. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters_store/adapter_store.h"
#include "common/base/clock.h"
#include "common/formats/base_spec.h"
#include "server/lora/adapter_manager.h"
#include "tests/stress/churn_models.h"

namespace lamella::testing {

inline constexpr char kChurnTenant[] = "churn";

class ChurnStore {
 public:
  virtual ~ChurnStore() = default;

  virtual const AdapterStore& store() const = 0;
  // Deletions are told to `manager` from now on. Call it once, before any change.
  virtual void Join(AdapterManager* manager) = 0;

  // The version; again for what is there already. `alias` may be "".
  virtual absl::StatusOr<std::string> Upload(const std::string& name, const ChurnContent& content,
                                             const std::string& alias) = 0;
  virtual absl::Status SetAlias(const std::string& name, const std::string& alias,
                                const std::string& version) = 0;
  // Not what an alias points to.
  virtual absl::Status DeleteVersion(const std::string& name, const std::string& version) = 0;
};

// A DurableAdapterStore in `dir`. All borrowed, for its life.
absl::StatusOr<std::unique_ptr<ChurnStore>> OpenChurnStore(const std::string& dir,
                                                           const BaseSpec& base,
                                                           const Clock* clock);

}  // namespace lamella::testing
