// What each tenant may take, as the credentials file says it. Immutable after construction, so
// thread-safe.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "server/core/tenant_limits.h"

namespace lamella {

class TenantTable final : public TenantDirectory {
 public:
  using Map = std::map<std::string, TenantLimits, std::less<>>;

  TenantTable() = default;  // the defaults for everyone
  explicit TenantTable(Map limits) : limits_(std::move(limits)) {}

  TenantLimits LimitsOf(std::string_view tenant) const override {
    const auto found = limits_.find(tenant);
    return found == limits_.end() ? TenantLimits() : found->second;
  }

  // Those that the file names.
  const Map& all() const { return limits_; }

 private:
  Map limits_;
};

}  // namespace lamella
