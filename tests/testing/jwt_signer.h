// Signs JSON Web Tokens for tests, and tells the public key as a JWK.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>

namespace lamella::testing {

// As JWTs write bytes.
std::string Base64Url(std::string_view bytes);

class JwtSigner {
 public:
  static JwtSigner Rs256(int bits = 2048);
  static JwtSigner Es256();

  // One entry of a key set; `more` are members such as R"("use":"sig",)".
  std::string Jwk(const std::string& id, const std::string& more = "") const;
  // The set of this key alone.
  std::string JwkSet(const std::string& id) const { return "{\"keys\":[" + Jwk(id) + "]}"; }

  // `claims` under a header with this algorithm and `id`.
  std::string Token(const std::string& claims, const std::string& id = "") const;
  // The same with a header of one's own.
  std::string TokenWithHeader(const std::string& header, const std::string& claims) const;

 private:
  struct FreeKey {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  JwtSigner(EVP_PKEY* key, bool rsa) : key_(key), rsa_(rsa) {}
  std::string Sign(const std::string& text) const;

  std::unique_ptr<EVP_PKEY, FreeKey> key_;
  bool rsa_;
};

}  // namespace lamella::testing
