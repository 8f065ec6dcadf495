#include "common/formats/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>

#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

absl::Status Bad(std::string_view field, std::string_view message) {
  ERR_clear_error();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidCertificate, field,
                   message);
}

Bio Read(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Instead of a question on the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

}  // namespace

absl::StatusOr<absl::Time> CheckCertificateAndKey(std::string_view certificate_pem,
                                                  std::string_view key_pem) {
  const Bio certificate_text = Read(certificate_pem);
  const Certificate certificate(
      PEM_read_bio_X509_AUX(certificate_text.get(), nullptr, NoPassword, nullptr));
  if (certificate == nullptr) return Bad("certificate", "must begin with a certificate in PEM");
  const Bio key_text = Read(key_pem);
  const Key key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, NoPassword, nullptr));
  if (key == nullptr) return Bad("key", "must hold a private key in PEM, not encrypted");
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Bad("key", "is not the key of the certificate");
  }
  std::tm end = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) {
    return Bad("certificate", "has no time at which it ends");
  }
  return absl::FromTM(end, absl::UTCTimeZone());
}

absl::Status CheckCertificates(std::string_view pem) {
  const Bio text = Read(pem);
  const Certificate first(PEM_read_bio_X509_AUX(text.get(), nullptr, NoPassword, nullptr));
  if (first == nullptr) return Bad("ca", "must hold certificates in PEM");
  return absl::OkStatus();
}

}  // namespace lamella
