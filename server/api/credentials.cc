#include "server/api/credentials.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters_store/adapter_id.h"
#include "common/base/byte_size.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"
#include "common/formats/json.h"
#include "server/api/file_watch.h"

namespace lamella {
namespace {

constexpr size_t kMaxCredentials = 4096;
constexpr size_t kMaxTenants = 4096;
constexpr size_t kMaxKeyBytes = 1024;
constexpr size_t kMaxUriBytes = 1024;
constexpr std::string_view kTenantUri = "lamella://tenants/";
constexpr double kMinWeight = 0.01;
constexpr double kMaxWeight = 1000;

constexpr std::array<std::pair<std::string_view, Role>, 3> kRoleWords = {
    {{"inference", Role::kInference},
     {"adapter-writer", Role::kAdapterWriter},
     {"operator", Role::kOperator}}};

absl::Status Bad(const std::string& field, const std::string& complaint) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidCredentials, field,
                   absl::StrCat("--credentials: ", field, ": ", complaint));
}

// The parser's or a getter's complaint about `where`.
absl::Status Bad(const std::string& where, const absl::Status& status) {
  const std::string field = ErrorField(status);
  return Bad(field.empty() ? where : absl::StrCat(where, ".", field),
             std::string(status.message()));
}

absl::Status CheckKeys(const std::string& where, const JsonValue& value,
                       const std::set<std::string_view>& known) {
  const JsonValue::Object* object = value.AsObject();
  if (object == nullptr) return Bad(where, "must be an object");
  for (const JsonMember& member : *object) {
    if (!known.contains(member.key)) {
      return Bad(where, absl::StrCat("unknown key ", QuoteForMessage(member.key)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Roles> ReadRoles(const std::string& where, const JsonValue& entry) {
  auto words = entry.GetArray("roles");
  if (!words.ok()) return Bad(where, words.status());
  Roles roles;
  for (const JsonValue& word : **words) {
    const std::string* text = word.AsString();
    const auto role = text == nullptr ? std::nullopt : RoleOf(*text);
    if (!role.has_value()) {
      return Bad(
          where + ".roles",
          absl::StrCat("must be inference, adapter-writer or operator, got ", word.Describe()));
    }
    if (roles.Has(*role)) return Bad(where + ".roles", absl::StrCat(*text, " is there twice"));
    roles = roles | *role;
  }
  if (roles.empty()) return Bad(where + ".roles", "must have at least one");
  return roles;
}

// One member that is an id: of a tenant or of the credential itself.
absl::StatusOr<std::string> ReadId(const std::string& where, const JsonValue& entry,
                                   const char* key) {
  auto id = entry.GetString(key);
  if (!id.ok()) return Bad(where, id.status());
  if (IsValidResourceId(*id)) return *std::move(id);
  return Bad(
      absl::StrCat(where, ".", key),
      absl::StrCat("must be up to 64 characters of a-z 0-9 . _ -, got ", QuoteForMessage(*id)));
}

absl::StatusOr<std::string> ReadSha256(const std::string& where, const JsonValue& entry) {
  auto sha256 = entry.GetString("sha256");
  if (!sha256.ok()) return Bad(where, sha256.status());
  if (IsLowerHex(*sha256)) return *std::move(sha256);
  return Bad(where + ".sha256", "must be 64 lowercase hex digits");  // it may be a key: not shown
}

// Of a certificate: a scheme, "://" and visible characters.
absl::StatusOr<std::string> ReadUri(const std::string& where, const JsonValue& entry) {
  auto uri = entry.GetString("uri");
  if (!uri.ok()) return Bad(where, uri.status());
  const bool visible = std::ranges::all_of(*uri, [](char c) { return c > ' ' && c <= '~'; });
  if (visible && uri->find("://") != std::string::npos && uri->size() <= kMaxUriBytes) return uri;
  return Bad(where + ".uri", absl::StrCat("must be a URI of up to ", kMaxUriBytes, " bytes, got ",
                                          QuoteForMessage(*uri)));
}

// T of lamella://tenants/T and of lamella://tenants/T/...; "" of any other URI.
std::string TenantOfUri(std::string_view uri) {
  if (!uri.starts_with(kTenantUri)) return "";
  const std::string_view rest = uri.substr(kTenantUri.size());
  return std::string(rest.substr(0, rest.find('/')));
}

// A whole number of at least 0, or 0 where there is none.
absl::StatusOr<int64_t> ReadCount(const std::string& where, const JsonValue& entry, const char* key,
                                  int64_t most) {
  const auto count = entry.GetIntOr(key, 0);
  if (!count.ok()) return Bad(where, count.status());
  if (*count >= 0 && *count <= most) return *count;
  return Bad(absl::StrCat(where, ".", key), absl::StrCat("must be 0 to ", most, ", got ", *count));
}

// Bytes as people write them, or 0 where there is nothing.
absl::StatusOr<int64_t> ReadBytes(const std::string& where, const JsonValue& entry,
                                  const char* key) {
  const auto text = entry.GetStringOr(key, "0");
  if (!text.ok()) return Bad(where, text.status());
  if (const auto bytes = ParseByteSize(*text)) return *bytes;
  return Bad(
      absl::StrCat(where, ".", key),
      absl::StrCat("must be a number of bytes such as \"512MiB\", got ", QuoteForMessage(*text)));
}

absl::StatusOr<TenantLimits> ReadLimits(const std::string& where, const JsonValue& entry) {
  RETURN_IF_ERROR(CheckKeys(
      where, entry,
      {"weight", "max_in_flight", "max_queued_tokens", "tokens_per_minute", "resident_floor",
       "resident_ceiling", "stored_bytes", "stored_versions", "upload_bytes_per_day"}));
  TenantLimits limits;
  const auto weight = entry.GetDoubleOr("weight", limits.weight);
  if (!weight.ok()) return Bad(where, weight.status());
  if (!(*weight >= kMinWeight && *weight <= kMaxWeight)) {
    return Bad(where + ".weight",
               absl::StrCat("must be ", kMinWeight, " to ", kMaxWeight, ", got ", *weight));
  }
  limits.weight = *weight;
  ASSIGN_OR_RETURN(const int64_t in_flight, ReadCount(where, entry, "max_in_flight", INT32_MAX));
  limits.max_in_flight = static_cast<int32_t>(in_flight);
  ASSIGN_OR_RETURN(limits.max_queued_tokens,
                   ReadCount(where, entry, "max_queued_tokens", INT64_MAX));
  ASSIGN_OR_RETURN(limits.tokens_per_minute,
                   ReadCount(where, entry, "tokens_per_minute", INT64_MAX));
  ASSIGN_OR_RETURN(limits.resident_floor_bytes, ReadBytes(where, entry, "resident_floor"));
  ASSIGN_OR_RETURN(limits.resident_ceiling_bytes, ReadBytes(where, entry, "resident_ceiling"));
  ASSIGN_OR_RETURN(limits.max_stored_bytes, ReadBytes(where, entry, "stored_bytes"));
  ASSIGN_OR_RETURN(limits.max_stored_versions,
                   ReadCount(where, entry, "stored_versions", INT64_MAX));
  ASSIGN_OR_RETURN(limits.upload_bytes_per_day, ReadBytes(where, entry, "upload_bytes_per_day"));
  if (limits.resident_ceiling_bytes != 0 &&
      limits.resident_floor_bytes > limits.resident_ceiling_bytes) {
    return Bad(where + ".resident_floor",
               absl::StrCat("must be at most resident_ceiling, ",
                            FormatByteSize(limits.resident_ceiling_bytes), ", got ",
                            FormatByteSize(limits.resident_floor_bytes)));
  }
  return limits;
}

absl::StatusOr<TenantTable> ReadTenants(const JsonValue& root) {
  if (root.Find("tenants") == nullptr) return TenantTable();
  const auto entries = root.GetObject("tenants");
  if (!entries.ok()) return Bad("file", entries.status());
  if ((*entries)->size() > kMaxTenants) {
    return Bad("tenants", absl::StrCat("at most ", kMaxTenants, ", got ", (*entries)->size()));
  }
  TenantTable::Map tenants;
  for (const auto& [tenant, entry] : **entries) {
    if (!IsValidResourceId(tenant)) {
      return Bad("tenants",
                 absl::StrCat("a name must be up to 64 characters of a-z 0-9 . _ -, got ",
                              QuoteForMessage(tenant)));
    }
    ASSIGN_OR_RETURN(tenants[tenant], ReadLimits("tenants." + tenant, entry));
  }
  return TenantTable(std::move(tenants));
}

}  // namespace

std::optional<Role> RoleOf(std::string_view word) {
  const auto* found = std::ranges::find(kRoleWords, word, &decltype(kRoleWords)::value_type::first);
  if (found == kRoleWords.end()) return std::nullopt;
  return found->second;
}

std::string Describe(Roles roles) {
  std::vector<std::string> words;
  for (const auto& [word, role] : kRoleWords) {
    if (roles.Has(role)) words.emplace_back(word);
  }
  return absl::StrJoin(words, " or ");
}

Credentials Credentials::Everyone(std::string_view tenant) {
  Credentials credentials;
  credentials.everyone_ = Caller{"anyone", std::string(tenant), Roles::All()};
  return credentials;
}

absl::StatusOr<Credentials> Credentials::FromJson(std::string_view text) {
  const auto root = ParseStrictJson(text, {.max_bytes = kMaxFileBytes});
  if (!root.ok()) return Bad("file", std::string(root.status().message()));
  RETURN_IF_ERROR(CheckKeys("file", *root, {"credentials", "tenants"}));
  const auto entries = root->GetArray("credentials");
  if (!entries.ok()) return Bad("file", entries.status());
  if ((*entries)->size() > kMaxCredentials) {
    return Bad("credentials",
               absl::StrCat("at most ", kMaxCredentials, ", got ", (*entries)->size()));
  }
  Credentials credentials;
  ASSIGN_OR_RETURN(credentials.tenants_, ReadTenants(*root));
  std::set<std::string> names;
  std::set<std::string> proofs;
  for (const JsonValue& json : **entries) {
    const std::string where = absl::StrCat("credentials[", credentials.entries_.size(), "]");
    ASSIGN_OR_RETURN(Entry entry, ReadEntry(where, json));
    if (!names.insert(entry.caller.name).second) return Bad(where + ".name", "is there twice");
    if (!proofs.insert(entry.sha256 + entry.uri).second) {
      return Bad(where + (entry.uri.empty() ? ".sha256" : ".uri"), "is there twice");
    }
    credentials.entries_.push_back(std::move(entry));
  }
  return credentials;
}

absl::StatusOr<Credentials::Entry> Credentials::ReadEntry(const std::string& where,
                                                          const JsonValue& json) {
  RETURN_IF_ERROR(CheckKeys(where, json, {"name", "sha256", "uri", "tenant", "roles"}));
  Entry entry;
  ASSIGN_OR_RETURN(entry.caller.name, ReadId(where, json, "name"));
  std::string named_tenant;
  if (json.Find("uri") == nullptr) {
    ASSIGN_OR_RETURN(entry.sha256, ReadSha256(where, json));
  } else if (json.Find("sha256") != nullptr) {
    return Bad(where, "must have sha256 or uri, not both");
  } else {
    ASSIGN_OR_RETURN(entry.uri, ReadUri(where, json));
    named_tenant = TenantOfUri(entry.uri);
  }
  if (named_tenant.empty() || json.Find("tenant") != nullptr) {
    ASSIGN_OR_RETURN(entry.caller.tenant, ReadId(where, json, "tenant"));
  } else {
    entry.caller.tenant = named_tenant;
  }
  if (!named_tenant.empty() && named_tenant != entry.caller.tenant) {
    return Bad(where + ".tenant", absl::StrCat("must be the uri's, ", named_tenant));
  }
  ASSIGN_OR_RETURN(entry.caller.roles, ReadRoles(where, json));
  return entry;
}

absl::StatusOr<std::string> Credentials::ReadFile(const std::string& path) {
  auto content = ReadSmallFile(path, kMaxFileBytes);
  if (!content.ok()) return Bad("file", std::string(content.status().message()));
  return content;
}

const Caller* Credentials::FindKey(std::string_view key) const {
  if (key.empty() || key.size() > kMaxKeyBytes) return nullptr;
  const std::string sha256 = Sha256Hex(key);
  const Caller* match = nullptr;
  for (const Entry& entry : entries_) {
    // An entry without a key has another length, which the comparison may tell.
    if (ConstantTimeEqual(sha256, entry.sha256)) match = &entry.caller;
  }
  return match;
}

const Caller* Credentials::FindUri(std::string_view uri) const {
  if (uri.empty()) return nullptr;
  const auto found = std::ranges::find(entries_, uri, &Entry::uri);
  return found == entries_.end() ? nullptr : &found->caller;
}

}  // namespace lamella
