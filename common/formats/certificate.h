// X.509 certificates and their private keys as PEM text: whether a server can use them. It parses
// with OpenSSL and verifies no chain. Pure functions.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lamella {

// When the first certificate of the chain ends. INVALID_ARGUMENT (INVALID_CERTIFICATE), field
// "certificate" or "key": not PEM, encrypted, or the key is not that certificate's.
absl::StatusOr<absl::Time> CheckCertificateAndKey(std::string_view certificate_pem,
                                                  std::string_view key_pem);

// INVALID_ARGUMENT (INVALID_CERTIFICATE), field "ca", unless there is at least one certificate.
absl::Status CheckCertificates(std::string_view pem);

}  // namespace lamella
