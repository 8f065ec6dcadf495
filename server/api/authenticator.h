// Who makes a call, by what the call proves: one place for all ways to prove it, and for the file
// behind them as it is now. A reload replaces the whole at once: a call is judged by the old file or
// by the new one, and fails because of neither. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "server/api/credentials.h"
#include "server/api/jwt_verifier.h"

namespace lamella {

// What a call brings to prove who makes it.
struct Proof {
  std::optional<std::string_view> authorization;  // the value of that metadata entry
  std::vector<std::string> uris;                  // of the client's verified certificate
};

// Also the directory of tenants: it answers from the file of the moment.
class Authenticator final : public TenantDirectory {
 public:
  // `tokens` verifies what is no key but looks like a token; null: nothing is.
  explicit Authenticator(Credentials credentials, std::unique_ptr<JwtVerifier> tokens = nullptr);

  // Unless everyone may call: by the metadata if there is any, else by the certificate.
  // UNAUTHENTICATED for anything but "Bearer KEY" with a known key or a valid token, or a
  // certificate of which exactly one URI is known.
  absl::StatusOr<Caller> Authenticate(const Proof& proof) const EXCLUDES(mutex_);

  // For calls from now on.
  void Replace(Credentials credentials) EXCLUDES(mutex_);

  TenantLimits LimitsOf(std::string_view tenant) const override EXCLUDES(mutex_);

  // Null if no tokens are taken.
  JwtVerifier* tokens() const { return tokens_.get(); }

  // As they are now; stays valid while it is held.
  std::shared_ptr<const Credentials> credentials() const EXCLUDES(mutex_);

 private:
  const std::unique_ptr<JwtVerifier> tokens_;
  mutable Mutex mutex_;
  std::shared_ptr<const Credentials> credentials_ GUARDED_BY(mutex_);
};

}  // namespace lamella
