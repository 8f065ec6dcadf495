// JSON Web Tokens (RFC 7519) in compact form, signed with RS256 or ES256, checked against a set of
// public keys (a JWK Set, RFC 7517). It says whether a signature is right and what is claimed; what the
// claims mean is the caller's. Every other algorithm is refused, "none" and shared secrets first of
// all: the key decides the algorithm, never the token. Immutable, thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/formats/json.h"

struct evp_pkey_st;

namespace lamella {

class JwtKeys {
 public:
  static constexpr size_t kMaxFileBytes = size_t{256} << 10;
  static constexpr size_t kMaxTokenBytes = size_t{8} << 10;

  // RSA keys of 2048 to 8192 bits and P-256 keys; keys of other kinds or uses are passed over.
  // INVALID_ARGUMENT (INVALID_CREDENTIALS), field "keys[2].n": not a key set, a key that cannot be
  // read, a private key, or none that can be used.
  static absl::StatusOr<JwtKeys> FromJson(std::string_view text);

  // The claims of a token that one of the keys signed. UNAUTHENTICATED, without a word about why.
  absl::StatusOr<JsonValue> Verify(std::string_view token) const;

  // Three parts in the alphabet of URL-safe base64: worth a look at its signature.
  static bool LooksLikeToken(std::string_view text);

 private:
  enum class Algorithm { kRs256, kEs256 };
  struct FreeKey {
    void operator()(evp_pkey_st* key) const;
  };
  struct Key {
    std::string id;  // may be empty
    Algorithm algorithm;
    std::unique_ptr<evp_pkey_st, FreeKey> key;
  };

  // Nothing for a key that is of no use here.
  static absl::StatusOr<std::vector<Key>> ReadKey(const std::string& where, const JsonValue& json);
  static bool IsSignedBy(const Key& key, std::string_view text, const std::string& signature);

  std::vector<Key> keys_;
};

}  // namespace lamella
