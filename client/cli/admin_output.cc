#include "client/cli/admin_output.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/progress_bar.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella::cli {
namespace {

using nlohmann::json;

constexpr size_t kShownDigits = 12;
constexpr size_t kVersionDigits = 64;
constexpr size_t kMinDigits = 4;

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

json ToJson(const client::Alias& alias) {
  json targets = json::array();
  for (const client::AliasTarget& target : alias.targets) {
    targets.push_back({{"version", target.version}, {"weight", target.weight}});
  }
  return {{"alias", alias.alias}, {"targets", targets}};
}

}  // namespace

std::string ShortVersion(const std::string& version) { return version.substr(0, kShownDigits); }

std::string DescribeTargets(const client::Alias& alias) {
  if (alias.targets.size() == 1) return ShortVersion(alias.targets.front().version);
  return absl::StrJoin(alias.targets, " ", [](std::string* out, const client::AliasTarget& target) {
    absl::StrAppend(out, ShortVersion(target.version), ":", target.weight);
  });
}

json ToJson(const client::Adapter& a) {
  json aliases = json::array();
  for (const client::Alias& alias : a.aliases) aliases.push_back(ToJson(alias));
  return {{"name", a.name},
          {"adapter", a.id},
          {"etag", a.etag},
          {"labels", a.labels},
          {"aliases", aliases},
          {"versions", a.versions},
          {"created", Rfc3339(a.created)},
          {"updated", Rfc3339(a.updated)}};
}

json ToJson(const client::Version& v) {
  return {{"name", v.name},
          {"version", v.version},
          {"state", v.state},
          {"quarantine_reason", v.quarantine_reason},
          {"residency", v.residency},
          {"pinned", v.pinned},
          {"base_fingerprint", v.base_fingerprint},
          {"fits_base", v.fits_base},
          {"weights_sha256", v.weights_sha256},
          {"weights_bytes", v.weights_bytes},
          {"config_bytes", v.config_bytes},
          {"max_rank", v.max_rank},
          {"modules", v.modules},
          {"parameters", v.parameters},
          {"aliases", v.aliases},
          {"created", Rfc3339(v.created)}};
}

json ToJson(const client::UploadResult& result) {
  return {{"version", ToJson(result.version)},
          {"etag", result.etag},
          {"created", result.created},
          {"validate_only", result.validate_only},
          {"hash_ms", absl::ToDoubleMilliseconds(result.hash_time)},
          {"sync_ms", absl::ToDoubleMilliseconds(result.sync_time)}};
}

json ToJson(const client::WatchEvent& event) {
  json line = {{"type", event.type}, {"name", event.name}, {"resume_token", event.resume_token}};
  if (event.adapter != nullptr) line["adapter"] = ToJson(*event.adapter);
  if (event.version != nullptr) line["version"] = ToJson(*event.version);
  return line;
}

void PrintAdapters(const CommonOptions& common, const std::vector<client::Adapter>& adapters) {
  if (!common.json()) absl::PrintF("%-32s %-9s %s\n", "ADAPTER", "VERSIONS", "ALIASES");
  for (const client::Adapter& a : adapters) {
    if (common.json()) {
      absl::PrintF("%s\n", ToJson(a).dump());
      continue;
    }
    const std::string aliases =
        absl::StrJoin(a.aliases, ", ", [](std::string* out, const client::Alias& alias) {
          absl::StrAppend(out, alias.alias, " -> ", DescribeTargets(alias));
        });
    absl::PrintF("%-32s %-9d %s\n", a.id, a.versions, aliases);
  }
}

void PrintVersions(const CommonOptions& common, const std::vector<client::Version>& versions) {
  if (!common.json()) {
    absl::PrintF("%-14s %-12s %-10s %-5s %-10s %-21s %s\n", "VERSION", "STATE", "RESIDENCY", "RANK",
                 "SIZE", "CREATED", "ALIASES");
  }
  for (const client::Version& v : versions) {
    if (common.json()) {
      absl::PrintF("%s\n", ToJson(v).dump());
      continue;
    }
    std::string notes = absl::StrJoin(v.aliases, ",");
    if (v.pinned) absl::StrAppend(&notes, " (pinned)");
    if (!v.fits_base) absl::StrAppend(&notes, " (another base)");
    absl::PrintF("%-14s %-12s %-10s %-5d %-10s %-21s %s\n", ShortVersion(v.version), v.state,
                 v.residency, v.max_rank, FormatBytes(static_cast<double>(v.weights_bytes)),
                 Rfc3339(v.created), notes);
  }
}

std::string MatchVersion(const std::vector<client::Version>& versions, const std::string& text) {
  std::string match;
  if (text.size() < kMinDigits) return match;
  for (const client::Version& version : versions) {
    if (!absl::StartsWith(version.version, text)) continue;
    if (!match.empty()) return "";
    match = version.version;
  }
  return match;
}

absl::StatusOr<std::string> FindVersion(client::AdminClient* admin, const std::string& adapter,
                                        const std::string& text) {
  const bool hex = text.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (hex && text.size() == kVersionDigits) return text;
  ASSIGN_OR_RETURN(const client::Adapter found, admin->GetAdapter(adapter));
  const auto alias = std::ranges::find(found.aliases, text, &client::Alias::alias);
  if (alias != found.aliases.end() && alias->targets.size() == 1) {
    return alias->targets.front().version;
  }
  if (hex && alias == found.aliases.end()) {
    ASSIGN_OR_RETURN(const std::vector<client::Version> versions, admin->ListVersions(adapter));
    std::string match = MatchVersion(versions, text);
    if (!match.empty()) return match;
  }
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidAdapterId, "VERSION",
                   absl::StrCat("\"", text, "\" is neither an alias of ", adapter,
                                " that points to one version nor the first digits of exactly one "
                                "version"));
}

}  // namespace lamella::cli
