// What one credentials file (docs/credentials.md) says: who is behind a key, and what the tenants may
// take. How a call proves who makes it is authenticator.h's; what a role may do authorization.h's;
// who holds tenants to their limits the engine and the adapter manager. Immutable after
// construction, so thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/api/tenant_table.h"

namespace lamella {

class JsonValue;

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

class Credentials {
 public:
  static constexpr size_t kMaxFileBytes = size_t{1} << 20;

  // No file: whoever calls is `tenant` and may do everything; no tenant has limits of its own.
  static Credentials Everyone(std::string_view tenant);

  // No file, but other ways to be known: nobody is in it.
  static Credentials Nobody() { return Credentials(); }

  // INVALID_ARGUMENT (INVALID_CREDENTIALS) that names the entry and what is wrong with it.
  static absl::StatusOr<Credentials> FromJson(std::string_view text);
  // The content of the file. INVALID_ARGUMENT (INVALID_CREDENTIALS) if it cannot be read; names no
  // path.
  static absl::StatusOr<std::string> ReadFile(const std::string& path);

  // Who everyone is, without a file; else null.
  const Caller* everyone() const { return everyone_.has_value() ? &*everyone_ : nullptr; }

  // Who has the key; null for nobody. Compares with every entry, each in constant time.
  const Caller* FindKey(std::string_view key) const;

  // Whose certificate names this URI; null for nobody.
  const Caller* FindUri(std::string_view uri) const;

  const TenantTable& tenants() const { return tenants_; }

 private:
  struct Entry {
    std::string sha256;  // of the key; empty: known by uri
    std::string uri;     // of the certificate; empty: known by sha256
    Caller caller;
  };
  static absl::StatusOr<Entry> ReadEntry(const std::string& where, const JsonValue& json);
  Credentials() = default;

  std::optional<Caller> everyone_;
  std::vector<Entry> entries_;
  TenantTable tenants_;
};

}  // namespace lamella
