// DurableAdapterStore's changes: each is an edit of one adapter's state.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters_store/durable_store_impl.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

constexpr size_t kMaxTargets = 16;
constexpr uint32_t kMaxWeight = 1'000'000;

ChangeRequest Request(std::string_view tenant, std::string_view name, std::string_view version,
                      std::string_view etag, const char* action, const Actor& actor) {
  return {std::string(tenant), std::string(name), std::string(version), std::string(etag), action,
          actor.name};
}

absl::Status InUse(const std::string& what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reasons::kVersionInUse, "force", what);
}

absl::Status CheckAlias(const AliasInfo& alias, const AdapterState& state) {
  if (!IsValidResourceId(alias.alias)) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidResourceName, "alias",
                     absl::StrCat(QuoteForMessage(alias.alias), " is no name for an alias"));
  }
  if (alias.targets.empty() || alias.targets.size() > kMaxTargets) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, reasons::kTooMany, "targets",
        absl::StrCat("an alias has 1 to ", kMaxTargets, " targets, got ", alias.targets.size()));
  }
  std::set<std::string> seen;
  for (const WeightedVersion& target : alias.targets) {
    if (!state.versions.contains(target.version)) return AdapterNotFound(state.row.name);
    if (!seen.insert(target.version).second) {
      return MakeError(absl::StatusCode::kInvalidArgument, reasons::kDuplicateKey, "targets",
                       "a version is a target twice");
    }
    if (target.weight < 1 || target.weight > kMaxWeight) {
      return MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, "weight",
                       absl::StrCat("a weight is 1 to ", kMaxWeight, ", got ", target.weight));
    }
  }
  return absl::OkStatus();
}

// An edit of one version that is there.
std::function<absl::Status(PendingChange*)> EditVersion(std::string_view version,
                                                        std::function<void(VersionRow*)> edit) {
  return [version, edit = std::move(edit)](PendingChange* pending) {
    const auto found = pending->state->versions.find(version);
    if (found == pending->state->versions.end()) return AdapterNotFound(pending->state->row.name);
    edit(&found->second);
    return absl::OkStatus();
  };
}

}  // namespace

absl::StatusOr<AdapterInfo> DurableAdapterStore::SetAlias(std::string_view tenant,
                                                          std::string_view name,
                                                          const AliasInfo& alias,
                                                          std::string_view etag,
                                                          const Actor& actor) {
  return impl_->Change(
      Request(tenant, name, "", etag, "set-alias", actor), [&](PendingChange* pending) {
        RETURN_IF_ERROR(CheckAlias(alias, *pending->state));
        auto& aliases = pending->state->row.aliases;
        std::erase_if(aliases, [&](const AliasInfo& a) { return a.alias == alias.alias; });
        aliases.push_back(alias);
        std::ranges::sort(aliases, {}, &AliasInfo::alias);
        return absl::OkStatus();
      });
}

absl::StatusOr<AdapterInfo> DurableAdapterStore::DeleteAlias(std::string_view tenant,
                                                             std::string_view name,
                                                             std::string_view alias,
                                                             std::string_view etag,
                                                             const Actor& actor) {
  return impl_->Change(
      Request(tenant, name, "", etag, "delete-alias", actor), [&](PendingChange* pending) {
        const auto gone = std::erase_if(pending->state->row.aliases,
                                        [&](const AliasInfo& a) { return a.alias == alias; });
        return gone > 0 ? absl::OkStatus() : AdapterNotFound(name);
      });
}

absl::Status DurableAdapterStore::DeleteVersion(std::string_view tenant, std::string_view name,
                                                std::string_view version, std::string_view etag,
                                                bool force, const Actor& actor) {
  return impl_
      ->Change(Request(tenant, name, version, etag, "delete-version", actor),
               [&](PendingChange* pending) {
                 AdapterState& state = *pending->state;
                 const auto found = state.versions.find(version);
                 if (found == state.versions.end()) return AdapterNotFound(name);
                 const auto aliases = state.AliasesOf(version);
                 if (!aliases.empty() && !force) {
                   return InUse(absl::StrCat("the alias ", aliases.front(), " points to it"));
                 }
                 state.Unalias(version);
                 state.versions.erase(found);
                 return absl::OkStatus();
               })
      .status();
}

absl::Status DurableAdapterStore::DeleteAdapter(std::string_view tenant, std::string_view name,
                                                std::string_view etag, bool force,
                                                const Actor& actor) {
  return impl_
      ->Change(
          Request(tenant, name, "", etag, "delete-adapter", actor),
          [&](PendingChange* pending) {
            if (!pending->state->row.aliases.empty() && !force) {
              return InUse(absl::StrCat("it has ", pending->state->row.aliases.size(), " aliases"));
            }
            pending->state.reset();
            return absl::OkStatus();
          })
      .status();
}

absl::Status DurableAdapterStore::SetPinned(std::string_view tenant, std::string_view name,
                                            std::string_view version, bool pinned,
                                            const Actor& actor) {
  return impl_
      ->Change(Request(tenant, name, version, "", pinned ? "pin" : "unpin", actor),
               EditVersion(version, [&](VersionRow* row) { row->pinned = pinned; }))
      .status();
}

absl::Status DurableAdapterStore::Quarantine(std::string_view tenant, std::string_view name,
                                             std::string_view version, std::string_view reason,
                                             const Actor& actor) {
  return impl_
      ->Change(Request(tenant, name, version, "", "quarantine", actor),
               EditVersion(version,
                           [&](VersionRow* row) {
                             row->state = VersionState::kQuarantined;
                             row->quarantine_reason = reason;
                           }))
      .status();
}

absl::Status DurableAdapterStore::Release(std::string_view tenant, std::string_view name,
                                          std::string_view version, const Actor& actor) {
  const auto row = impl_->FindRow(tenant, name, version);
  // What comes back into service is right again, not only wanted again.
  if (row) RETURN_IF_ERROR(impl_->ReadChecked({row->tenant, row->weights_sha256}, true).status());
  return impl_
      ->Change(Request(tenant, name, version, "", "release", actor),
               EditVersion(version,
                           [](VersionRow* changed) {
                             changed->state = VersionState::kReady;
                             changed->quarantine_reason.clear();
                           }))
      .status();
}

}  // namespace lamella
