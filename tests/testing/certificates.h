// Certificates for tests, made in memory: an authority and what it signs. Keys are P-256, so a pair
// costs well under a millisecond.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace lamella::testing {

struct PemPair {
  std::string certificate;
  std::string key;
};

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name);

  // `san` in OpenSSL's spelling: "DNS:localhost,IP:127.0.0.1" or "URI:lamella://tenants/anna".
  PemPair Issue(const std::string& name, const std::string& san) const;
  std::string certificate() const;

 private:
  struct FreeKey {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  };
  struct FreeCertificate {
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
  using Certificate = std::unique_ptr<X509, FreeCertificate>;

  static Key NewKey();
  static Certificate Sign(const std::string& name, EVP_PKEY* key, const std::string& san,
                          X509* issuer, EVP_PKEY* issuer_key);

  Key key_;
  Certificate certificate_;
};

}  // namespace lamella::testing
