// Callers that bring a JSON Web Token of the site's identity provider: from claims to a tenant and
// roles. The keys come from a local file and change with it (Replace); nothing is fetched.
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/formats/jwt.h"
#include "server/api/credentials.h"

namespace lamella {

struct JwtOptions {
  std::string issuer;                   // that `iss` must equal
  std::string audience;                 // that `aud` must hold
  std::string tenant_claim = "tenant";  // whose value is the tenant's id
  std::string roles_claim = "roles";    // an array, or words with spaces between
};

class JwtVerifier {
 public:
  JwtVerifier(JwtOptions options, JwtKeys keys);

  // UNAUTHENTICATED unless the token is signed by a key of the set, for this audience by this issuer,
  // valid now (exp is a must; 30 s of clock skew are forgiven), and names a tenant. Roles that are
  // not ours are passed over. The caller's name is "jwt:" and the token's `sub`.
  absl::StatusOr<Caller> Verify(std::string_view token, absl::Time now) const EXCLUDES(mutex_);

  // For tokens from now on.
  void Replace(JwtKeys keys) EXCLUDES(mutex_);

 private:
  bool Holds(const JsonValue& claims, absl::Time now) const;

  const JwtOptions options_;
  mutable Mutex mutex_;
  std::shared_ptr<const JwtKeys> keys_ GUARDED_BY(mutex_);
};

}  // namespace lamella
