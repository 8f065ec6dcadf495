// Who calls: from the key in a call's metadata to a name, a tenant and roles, and what the tenants
// may take. Reads the credentials file (docs/credentials.md) and nothing else; what a role may do is
// authorization.h's, who holds tenants to their limits the engine and the adapter manager. Immutable
// after construction, so thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/api/tenant_table.h"

namespace lamella {

enum class Role : uint32_t { kInference = 1, kAdapterWriter = 2, kOperator = 4 };

// A set of roles. A value.
class Roles {
 public:
  constexpr Roles() = default;
  constexpr Roles(Role role) : bits_(static_cast<uint32_t>(role)) {}  // NOLINT: a role is a set
  static constexpr Roles All() {
    return Roles(Role::kInference) | Role::kAdapterWriter | Role::kOperator;
  }

  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool Has(Role role) const { return (bits_ & static_cast<uint32_t>(role)) != 0; }
  constexpr bool Meets(Roles other) const { return (bits_ & other.bits_) != 0; }
  friend constexpr Roles operator|(Roles a, Roles b) {
    a.bits_ |= b.bits_;
    return a;
  }
  friend constexpr bool operator==(Roles, Roles) = default;

 private:
  uint32_t bits_ = 0;
};

// As in the file: "inference", "adapter-writer", "operator".
std::optional<Role> RoleOf(std::string_view word);
// "adapter-writer or operator"
std::string Describe(Roles roles);

struct Caller {
  std::string name;  // of the credential, for the audit log
  std::string tenant;
  Roles roles;
};

class Authenticator {
 public:
  // Whoever calls is `tenant` and may do everything; no tenant has limits of its own.
  static Authenticator Everyone(std::string_view tenant);

  // INVALID_ARGUMENT (INVALID_CREDENTIALS) that names the entry and what is wrong with it.
  static absl::StatusOr<Authenticator> FromJson(std::string_view text);
  // The same, and INVALID_ARGUMENT if the file cannot be read; names no path.
  static absl::StatusOr<Authenticator> FromFile(const std::string& path);

  // `authorization` is the value of that metadata entry. UNAUTHENTICATED for anything but
  // "Bearer KEY" with a known key. Compares with every credential, each in constant time.
  absl::StatusOr<Caller> Authenticate(std::optional<std::string_view> authorization) const;

  const TenantTable& tenants() const { return tenants_; }

 private:
  struct Credential {
    std::string sha256;
    Caller caller;
  };
  Authenticator() = default;

  std::optional<Caller> everyone_;
  std::vector<Credential> credentials_;
  TenantTable tenants_;
};

}  // namespace lamella
