#include "server/api/authenticator.h"

#include <utility>

#include "absl/time/clock.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

constexpr std::string_view kScheme = "Bearer ";

const Caller* FindCertificate(const Credentials& credentials,
                              const std::vector<std::string>& uris) {
  const Caller* match = nullptr;
  for (const std::string& uri : uris) {
    const Caller* const caller = credentials.FindUri(uri);
    if (caller != nullptr && match != nullptr) return nullptr;  // two callers are none
    if (caller != nullptr) match = caller;
  }
  return match;
}

}  // namespace

Authenticator::Authenticator(Credentials credentials, std::unique_ptr<JwtVerifier> tokens)
    : tokens_(std::move(tokens)),
      credentials_(std::make_shared<const Credentials>(std::move(credentials))) {}

std::shared_ptr<const Credentials> Authenticator::credentials() const {
  MutexLock lock(&mutex_);
  return credentials_;
}

void Authenticator::Replace(Credentials credentials) {
  auto replacement = std::make_shared<const Credentials>(std::move(credentials));
  MutexLock lock(&mutex_);
  credentials_.swap(replacement);
}

absl::StatusOr<Caller> Authenticator::Authenticate(const Proof& proof) const {
  const auto credentials = this->credentials();
  if (credentials->everyone() != nullptr) return *credentials->everyone();
  const Caller* caller = nullptr;
  if (!proof.authorization.has_value()) {
    caller = FindCertificate(*credentials, proof.uris);
  } else if (proof.authorization->starts_with(kScheme)) {
    const std::string_view secret = proof.authorization->substr(kScheme.size());
    caller = credentials->FindKey(secret);
    if (caller == nullptr && tokens_ != nullptr && JwtKeys::LooksLikeToken(secret)) {
      return tokens_->Verify(secret, absl::Now());
    }
  }
  if (caller != nullptr) return *caller;
  return MakeError(absl::StatusCode::kUnauthenticated, reasons::kUnauthenticated, "",
                   "authorization: must be \"Bearer KEY\" with a key that this server knows");
}

TenantLimits Authenticator::LimitsOf(std::string_view tenant) const {
  return credentials()->tenants().LimitsOf(tenant);
}

}  // namespace lamella
