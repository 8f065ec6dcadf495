#include "server/api/jwt_verifier.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "adapters_store/adapter_id.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

constexpr absl::Duration kSkew = absl::Seconds(30);
constexpr size_t kMaxNameBytes = 64;

const std::string* TextOf(const JsonValue& claims, const std::string& name) {
  const JsonValue* claim = claims.Find(name);
  return claim == nullptr ? nullptr : claim->AsString();
}

// A NumericDate; nothing if it is absent. One of another kind is at no time.
std::optional<absl::Time> TimeOf(const JsonValue& claims, const std::string& name,
                                 absl::Time otherwise) {
  const JsonValue* claim = claims.Find(name);
  if (claim == nullptr) return std::nullopt;
  const auto seconds = claim->AsDouble();
  return seconds.has_value() ? absl::UnixEpoch() + absl::Seconds(*seconds) : otherwise;
}

// What a claim lists: the strings of an array, or the words of a string.
std::vector<std::string> ListOf(const JsonValue& claims, const std::string& name) {
  const JsonValue* claim = claims.Find(name);
  if (claim == nullptr) return {};
  if (const std::string* text = claim->AsString()) {
    return absl::StrSplit(*text, ' ', absl::SkipEmpty());
  }
  std::vector<std::string> list;
  if (const JsonValue::Array* array = claim->AsArray()) {
    for (const JsonValue& value : *array) {
      if (value.AsString() != nullptr) list.push_back(*value.AsString());
    }
  }
  return list;
}

// For the audit log: visible characters only, cut to a bound.
std::string NameOf(const JsonValue& claims) {
  const std::string* subject = TextOf(claims, "sub");
  std::string name = absl::StrCat("jwt:", subject == nullptr ? "" : *subject);
  std::erase_if(name, [](char c) { return c <= ' ' || c > '~'; });
  return name.substr(0, kMaxNameBytes);
}

}  // namespace

JwtVerifier::JwtVerifier(JwtOptions options, JwtKeys keys)
    : options_(std::move(options)), keys_(std::make_shared<const JwtKeys>(std::move(keys))) {}

void JwtVerifier::Replace(JwtKeys keys) {
  auto replacement = std::make_shared<const JwtKeys>(std::move(keys));
  MutexLock lock(&mutex_);
  keys_.swap(replacement);
}

bool JwtVerifier::Holds(const JsonValue& claims, absl::Time now) const {
  const std::string* issuer = TextOf(claims, "iss");
  if (issuer == nullptr || *issuer != options_.issuer) return false;
  const JsonValue* audience = claims.Find("aud");
  // One audience is a string as it is, spaces and all.
  const std::string* only = audience == nullptr ? nullptr : audience->AsString();
  const std::vector<std::string> audiences =
      only != nullptr ? std::vector<std::string>{*only} : ListOf(claims, "aud");
  if (std::ranges::count(audiences, options_.audience) == 0) return false;
  const auto expires = TimeOf(claims, "exp", absl::InfinitePast());
  const auto begins = TimeOf(claims, "nbf", absl::InfiniteFuture());
  return expires.has_value() && now < *expires + kSkew &&
         (!begins.has_value() || now + kSkew >= *begins);
}

absl::StatusOr<Caller> JwtVerifier::Verify(std::string_view token, absl::Time now) const {
  std::shared_ptr<const JwtKeys> keys;
  {
    MutexLock lock(&mutex_);
    keys = keys_;
  }
  ASSIGN_OR_RETURN(const JsonValue claims, keys->Verify(token));
  const std::string* tenant = TextOf(claims, options_.tenant_claim);
  if (!Holds(claims, now) || tenant == nullptr || !IsValidResourceId(*tenant)) {
    return MakeError(absl::StatusCode::kUnauthenticated, reasons::kUnauthenticated, "",
                     "the token is not valid");
  }
  Caller caller{.name = NameOf(claims), .tenant = *tenant, .roles = {}};
  for (const std::string& word : ListOf(claims, options_.roles_claim)) {
    if (const auto role = RoleOf(word)) caller.roles = caller.roles | *role;
  }
  return caller;
}

}  // namespace lamella
