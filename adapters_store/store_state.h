// What a durable store knows of its adapters, in memory, and the answers that follow from it. Pure
// values and functions: the store locks around them.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters_store/adapter_id.h"
#include "adapters_store/durable_adapter_store.h"

namespace lamella {

struct AdapterState {
  AdapterRow row;
  std::map<std::string, VersionRow, std::less<>> versions;  // by digest

  AdapterInfo Info() const;
  // Of a version that is there.
  VersionInfo Info(const VersionRow& version, const std::string& base_fingerprint) const;
  // The version that the id names; null if none.
  const VersionRow* Find(const AdapterId& id, std::string_view routing_key) const;
  // The names of the aliases that lead to it.
  std::vector<std::string> AliasesOf(std::string_view version) const;
  // Takes it out of every alias; aliases that lose their last target go.
  void Unalias(std::string_view version);
};

struct TenantState {
  std::map<std::string, AdapterState, std::less<>> adapters;
  // Which adapters have a version, for those who know its digest only.
  std::map<std::string, std::set<std::string>, std::less<>> names_by_version;
  uint64_t weights_bytes = 0;
  int64_t versions = 0;

  // Keeps the sums true. `state` null removes the adapter.
  void Put(const std::string& name, const AdapterState* state);
};

StoredVersion ToStored(const VersionRow& row, std::string_view alias);

// OK, or why it cannot serve: VERSION_QUARANTINED, WRONG_BASE.
absl::Status Usable(const VersionRow& row, const std::string& base_fingerprint);

// The target that a routing key gets: equal keys get equal targets, and the share of all keys that
// a target gets is its weight's share. `scope` makes splits of different aliases independent.
const WeightedVersion& PickTarget(const AliasInfo& alias, std::string_view scope,
                                  std::string_view routing_key);

}  // namespace lamella
