// A tenant directory that a test fills in. Not thread-safe while it is filled.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "server/core/tenant_limits.h"

namespace lamella {

class FakeTenants final : public TenantDirectory {
 public:
  TenantLimits& operator[](const std::string& tenant) {
    return limits_.try_emplace(tenant, defaults).first->second;
  }
  TenantLimits LimitsOf(std::string_view tenant) const override {
    const auto found = limits_.find(tenant);
    return found == limits_.end() ? defaults : found->second;
  }

  TenantLimits defaults;

 private:
  std::map<std::string, TenantLimits, std::less<>> limits_;
};

}  // namespace lamella
