// Which adapter a request means, after resolution: one immutable version of one tenant's adapter.
#pragma once

#include <string>

namespace lamella {

// Where a version is now. Independent of whether it may be used.
enum class Residency { kDisk, kHost, kDevice };

// A value. The default is the base model.
struct AdapterRef {
  std::string tenant;   // owner; empty for the base model
  std::string name;     // "" is the base model
  std::string version;  // SHA-256 of the version, 64 lowercase hex digits

  bool is_base() const { return name.empty(); }
  // Bytes are never shared between tenants, so this, not the version alone, names residency.
  std::string Key() const { return tenant + "/" + version; }

  // As equal Keys: two names of one tenant may mean one version.
  bool SameWeights(const AdapterRef& other) const {
    return tenant == other.tenant && version == other.version;
  }

  friend bool operator==(const AdapterRef&, const AdapterRef&) = default;
};

}  // namespace lamella
