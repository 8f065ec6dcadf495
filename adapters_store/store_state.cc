#include "adapters_store/store_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

// FNV-1a, then the finalizer of SplitMix64 so that all bits depend on all bytes. Written into
// clients' expectations: equal on every machine and in every release.
uint64_t StableHash(std::string_view scope, std::string_view key) {
  uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  };
  add(scope);
  add("\n");
  add(key);
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9U;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebU;
  return hash ^ (hash >> 31);
}

}  // namespace

const WeightedVersion& PickTarget(const AliasInfo& alias, std::string_view scope,
                                  std::string_view routing_key) {
  uint64_t total = 0;
  for (const WeightedVersion& target : alias.targets) total += target.weight;
  uint64_t at = StableHash(scope, routing_key) % total;
  for (const WeightedVersion& target : alias.targets) {
    if (at < target.weight) return target;
    at -= target.weight;
  }
  return alias.targets.back();
}

AdapterInfo AdapterState::Info() const {
  AdapterInfo info;
  info.tenant = row.tenant;
  info.name = row.name;
  info.etag = absl::StrCat(row.revision);
  info.labels = row.labels;
  info.aliases = row.aliases;
  info.versions = static_cast<int32_t>(versions.size());
  info.created = row.created;
  info.updated = row.updated;
  return info;
}

VersionInfo AdapterState::Info(const VersionRow& version,
                               const std::string& base_fingerprint) const {
  VersionInfo info;
  info.aliases = AliasesOf(version.version);
  info.version = ToStored(version, info.aliases.empty() ? "" : info.aliases.front());
  info.state = version.state;
  info.quarantine_reason = version.quarantine_reason;
  info.base_fingerprint = version.base_fingerprint;
  info.fits_base = version.checked_fingerprint == base_fingerprint;
  info.pinned = version.pinned;
  info.weights_sha256 = version.weights_sha256;
  info.config_bytes = version.config_bytes;
  info.created = version.created;
  return info;
}

const VersionRow* AdapterState::Find(const AdapterId& id, std::string_view routing_key) const {
  if (!id.version_prefix.empty()) {
    const auto first = versions.lower_bound(id.version_prefix);
    if (first == versions.end() || !first->first.starts_with(id.version_prefix)) return nullptr;
    const auto second = std::next(first);
    const bool ambiguous = second != versions.end() && second->first.starts_with(id.version_prefix);
    return ambiguous ? nullptr : &first->second;
  }
  const auto alias = std::ranges::find(row.aliases, id.alias, &AliasInfo::alias);
  if (alias == row.aliases.end()) return nullptr;
  const std::string scope = absl::StrCat(row.tenant, "/", row.name, "@", id.alias);
  const auto found = versions.find(PickTarget(*alias, scope, routing_key).version);
  return found == versions.end() ? nullptr : &found->second;
}

std::vector<std::string> AdapterState::AliasesOf(std::string_view version) const {
  std::vector<std::string> names;
  for (const AliasInfo& alias : row.aliases) {
    const bool leads = std::ranges::any_of(
        alias.targets, [&](const WeightedVersion& target) { return target.version == version; });
    if (leads) names.push_back(alias.alias);
  }
  return names;
}

void AdapterState::Unalias(std::string_view version) {
  for (AliasInfo& alias : row.aliases) {
    std::erase_if(alias.targets, [&](const WeightedVersion& t) { return t.version == version; });
  }
  std::erase_if(row.aliases, [](const AliasInfo& alias) { return alias.targets.empty(); });
}

void TenantState::Put(const std::string& name, const AdapterState* state) {
  if (const auto old = adapters.find(name); old != adapters.end()) {
    for (const auto& [digest, version] : old->second.versions) {
      weights_bytes -= version.weights_bytes;
      --versions;
      const auto names = names_by_version.find(digest);
      names->second.erase(name);
      if (names->second.empty()) names_by_version.erase(names);
    }
    adapters.erase(old);
  }
  if (state == nullptr) return;
  for (const auto& [digest, version] : state->versions) {
    weights_bytes += version.weights_bytes;
    ++versions;
    names_by_version[digest].insert(name);
  }
  adapters.emplace(name, *state);
}

StoredVersion ToStored(const VersionRow& row, std::string_view alias) {
  StoredVersion stored;
  stored.tenant = row.tenant;
  stored.name = row.name;
  stored.version = row.version;
  stored.alias = alias;
  stored.max_rank = row.max_rank;
  stored.modules = row.modules;
  stored.parameters = row.parameters;
  stored.weights_bytes = row.weights_bytes;
  return stored;
}

absl::Status Usable(const VersionRow& row, const std::string& base_fingerprint) {
  if (row.state == VersionState::kQuarantined) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reasons::kVersionQuarantined,
                     "adapter_id",
                     absl::StrCat("adapter ", QuoteForMessage(row.name),
                                  ": the version is "
                                  "quarantined: ",
                                  row.quarantine_reason));
  }
  if (row.checked_fingerprint != base_fingerprint) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reasons::kWrongBase, "adapter_id",
                     absl::StrCat("adapter ", QuoteForMessage(row.name),
                                  ": the version was made for another base than the one served"));
  }
  return absl::OkStatus();
}

}  // namespace lamella
