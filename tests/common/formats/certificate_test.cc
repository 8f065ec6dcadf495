#include "common/formats/certificate.h"

#include <string>

#include "absl/time/clock.h"
#include "common/base/reasons.h"
#include "tests/testing/certificates.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsInvalid;
using testing::IsOk;
using testing::PemPair;
using testing::TestAuthority;

class CertificateTest : public ::testing::Test {
 protected:
  const TestAuthority authority_{"authority"};
  const PemPair pair_ = authority_.Issue("server", "DNS:localhost");
};

TEST_F(CertificateTest, APairSaysWhenItEnds) {
  const auto end = CheckCertificateAndKey(pair_.certificate, pair_.key);
  ASSERT_TRUE(IsOk(end));
  EXPECT_GT(*end, absl::Now() + absl::Hours(29 * 24));
  EXPECT_LT(*end, absl::Now() + absl::Hours(31 * 24));
}

TEST_F(CertificateTest, TheLeafComesFirstAndAChainMayFollow) {
  EXPECT_TRUE(
      IsOk(CheckCertificateAndKey(pair_.certificate + authority_.certificate(), pair_.key)));
  EXPECT_TRUE(
      IsInvalid(CheckCertificateAndKey(authority_.certificate() + pair_.certificate, pair_.key),
                reasons::kInvalidCertificate, "key", "not the key"));
}

TEST_F(CertificateTest, AnotherKeyIsRefused) {
  const PemPair other = authority_.Issue("server", "DNS:localhost");
  EXPECT_TRUE(IsInvalid(CheckCertificateAndKey(pair_.certificate, other.key),
                        reasons::kInvalidCertificate, "key", "not the key"));
}

TEST_F(CertificateTest, WhatIsNotPemIsRefused) {
  for (const std::string& bad : {std::string(), std::string("x"), pair_.key,
                                 pair_.certificate.substr(0, pair_.certificate.size() / 2)}) {
    EXPECT_TRUE(IsInvalid(CheckCertificateAndKey(bad, pair_.key), reasons::kInvalidCertificate,
                          "certificate"))
        << bad;
    EXPECT_TRUE(IsInvalid(CheckCertificates(bad), reasons::kInvalidCertificate, "ca")) << bad;
  }
  EXPECT_TRUE(IsInvalid(CheckCertificateAndKey(pair_.certificate, pair_.certificate),
                        reasons::kInvalidCertificate, "key", "private key"));
  EXPECT_TRUE(IsOk(CheckCertificates(authority_.certificate() + pair_.certificate)));
}

}  // namespace
}  // namespace lamella
