// How a request names an adapter, and which names adapters may have. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace lamella {

inline constexpr char kLiveAlias[] = "live";

// "A" | "A@alias" | "A@sha256:<12 to 64 lowercase hex digits>". Exactly one of alias and
// version_prefix is set.
struct AdapterId {
  std::string name;
  std::string alias;           // "live" if the id named none
  std::string version_prefix;  // hex digits
};

// Names of adapters, aliases and tenants: [a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?. They are keys,
// never path parts that a client chooses.
bool IsValidResourceId(std::string_view text);

// INVALID_ARGUMENT (INVALID_ADAPTER_ID), field adapter_id, for anything else; the empty id (the
// base model) is the caller's to answer.
absl::StatusOr<AdapterId> ParseAdapterId(std::string_view adapter_id);

// The one answer to unknown adapters, aliases and versions and to other tenants' adapters:
// NOT_FOUND (ADAPTER_NOT_FOUND). Its text depends on the caller's own id alone.
absl::Status AdapterNotFound(std::string_view adapter_id);

}  // namespace lamella
