#include "tests/testing/certificates.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <cstdlib>

namespace lamella::testing {
namespace {

constexpr long kDay = 24L * 3600;

void Require(bool ok) {
  if (!ok) std::abort();
}

void Extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  Require(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

template <typename Write>
std::string Pem(Write write) {
  BIO* bio = BIO_new(BIO_s_mem());
  Require(write(bio) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

}  // namespace

TestAuthority::Key TestAuthority::NewKey() { return Key(EVP_EC_gen("P-256")); }

TestAuthority::Certificate TestAuthority::Sign(const std::string& name, EVP_PKEY* key,
                                               const std::string& san, X509* issuer,
                                               EVP_PKEY* issuer_key) {
  Certificate certificate(X509_new());
  X509* const x = certificate.get();
  uint32_t serial = 0;
  Require(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial)) == 1);
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial);
  X509_gmtime_adj(X509_getm_notBefore(x), -kDay);
  X509_gmtime_adj(X509_getm_notAfter(x), 30 * kDay);
  X509_set_pubkey(x, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  if (issuer == nullptr) issuer = x;
  X509_set_issuer_name(x, X509_get_subject_name(issuer));
  Extend(x, issuer, NID_basic_constraints, issuer == x ? "critical,CA:TRUE" : "CA:FALSE");
  if (!san.empty()) Extend(x, issuer, NID_subject_alt_name, san);
  Require(X509_sign(x, issuer_key, EVP_sha256()) > 0);
  return certificate;
}

TestAuthority::TestAuthority(const std::string& name)
    : key_(NewKey()), certificate_(Sign(name, key_.get(), "", nullptr, key_.get())) {}

PemPair TestAuthority::Issue(const std::string& name, const std::string& san) const {
  const Key key = NewKey();
  const Certificate certificate = Sign(name, key.get(), san, certificate_.get(), key_.get());
  return {.certificate = Pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }),
          .key = Pem([&](BIO* bio) {
            return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

std::string TestAuthority::certificate() const {
  return Pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
}

}  // namespace lamella::testing
