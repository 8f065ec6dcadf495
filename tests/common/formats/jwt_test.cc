#include "common/formats/jwt.h"

#include <random>
#include <string>

#include "common/base/reasons.h"
#include "tests/testing/jwt_signer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::Base64Url;
using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;
using testing::JwtSigner;

constexpr char kClaims[] = R"({"sub":"anna"})";

class JwtKeysTest : public ::testing::Test {
 protected:
  // Keys are made once: RSA takes a while.
  static const JwtSigner& Rsa() {
    static const JwtSigner signer = JwtSigner::Rs256();
    return signer;
  }
  static const JwtSigner& Ec() {
    static const JwtSigner signer = JwtSigner::Es256();
    return signer;
  }
  static JwtKeys Both() {
    return *JwtKeys::FromJson("{\"keys\":[" + Rsa().Jwk("r") + "," + Ec().Jwk("e") + "]}");
  }
  static void ExpectRefused(const JwtKeys& keys, const std::string& token) {
    EXPECT_TRUE(IsError(keys.Verify(token), absl::StatusCode::kUnauthenticated,
                        reasons::kUnauthenticated, "", "the token is not valid"))
        << token;
  }
};

TEST_F(JwtKeysTest, BothAlgorithmsAreVerified) {
  const JwtKeys keys = Both();
  for (const std::string& token : {Rsa().Token(kClaims), Rsa().Token(kClaims, "r"),
                                   Ec().Token(kClaims), Ec().Token(kClaims, "e")}) {
    const auto claims = keys.Verify(token);
    ASSERT_TRUE(IsOk(claims)) << token;
    EXPECT_EQ(*claims->GetString("sub"), "anna");
  }
}

TEST_F(JwtKeysTest, AnotherKeyOrNameIsRefused) {
  const JwtKeys keys = Both();
  ExpectRefused(keys, JwtSigner::Es256().Token(kClaims));
  ExpectRefused(keys, Ec().Token(kClaims, "other"));
  ExpectRefused(*JwtKeys::FromJson(Rsa().JwkSet("r")), Ec().Token(kClaims));
}

TEST_F(JwtKeysTest, EveryChangedCharacterIsRefused) {
  const JwtKeys keys = Both();
  const std::string token = Ec().Token(kClaims);
  // The last character of a part may hold bits that mean nothing.
  for (size_t i = 0; i + 1 < token.size(); ++i) {
    if (token[i] == '.' || token[i + 1] == '.') continue;
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(keys.Verify(changed).ok()) << i;
  }
}

TEST_F(JwtKeysTest, TheKeyDecidesTheAlgorithm) {
  const JwtKeys keys = Both();
  for (const char* header :
       {R"({"alg":"none"})", R"({"alg":"HS256"})", R"({"alg":"RS512"})", R"({"alg":"PS256"})",
        R"({"alg":"es256"})", R"({})", R"([])", R"({"alg":7})", "x",
        R"({"alg":"ES256","crit":["b64"],"b64":false})", R"({"alg":"ES256","alg":"ES256"})"}) {
    ExpectRefused(keys, Ec().TokenWithHeader(header, kClaims));
  }
  ExpectRefused(keys, Ec().TokenWithHeader(R"({"alg":"RS256"})", kClaims));
  ExpectRefused(keys, Base64Url(R"({"alg":"none"})") + "." + Base64Url(kClaims) + ".");
}

TEST_F(JwtKeysTest, WhatIsNoTokenIsRefused) {
  const JwtKeys keys = Both();
  const std::string token = Ec().Token(kClaims);
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("a.b"), token + ".x",
        token + "=", " " + token, token.substr(0, token.rfind('.')), std::string(9000, 'a')}) {
    EXPECT_FALSE(JwtKeys::LooksLikeToken(bad)) << bad;
    ExpectRefused(keys, bad);
  }
  EXPECT_TRUE(JwtKeys::LooksLikeToken(token));
  ExpectRefused(keys, Ec().Token("7"));
  ExpectRefused(keys, Ec().Token("{"));
}

TEST_F(JwtKeysTest, NoiseNeverCrashes) {
  const JwtKeys keys = Both();
  std::mt19937 random(1);
  const std::string token = Rsa().Token(kClaims);
  for (int i = 0; i < 2000; ++i) {
    std::string noise = token;
    for (int n = 0; n < 3; ++n) noise[random() % noise.size()] = static_cast<char>(random());
    noise.resize(random() % (noise.size() + 1));
    (void)keys.Verify(noise);
  }
}

TEST_F(JwtKeysTest, KeysOfOtherKindsArePassedOver) {
  const auto keys = JwtKeys::FromJson(
      R"({"more":1,"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"},{"kty":"EC","crv":"P-384"},)" +
      Rsa().Jwk("enc", R"("use":"enc",)") + "," + Rsa().Jwk("ps", R"("alg":"PS256",)") + "," +
      Ec().Jwk("e", R"("use":"sig","alg":"ES256",)") + "]}");
  ASSERT_TRUE(IsOk(keys));
  EXPECT_TRUE(IsOk(keys->Verify(Ec().Token(kClaims))));
  ExpectRefused(*keys, Rsa().Token(kClaims));
}

TEST_F(JwtKeysTest, BadSetsAreRefusedByKey) {
  const auto refused = [](const std::string& text, const std::string& field) {
    EXPECT_TRUE(IsInvalid(JwtKeys::FromJson(text), reasons::kInvalidCredentials, field)) << text;
  };
  refused("", "file");
  refused("{}", "keys");
  refused(R"({"keys":[]})", "keys");
  refused(R"({"keys":[7]})", "keys[0]");
  refused(R"({"keys":[{"kty":"RSA"}]})", "keys[0].n");
  refused(R"({"keys":[{"kty":"RSA","n":"!","e":"AQAB"}]})", "keys[0].n");
  refused(R"({"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]})", "keys[0].n");
  refused(R"({"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]})", "keys[0]");
  refused(R"({"keys":[{"kty":"EC","crv":"P-256","x":")" + Base64Url(std::string(32, 'x')) +
              R"(","y":")" + Base64Url(std::string(32, 'y')) + R"("}]})",
          "keys[0]");
  refused("{\"keys\":[" + Ec().Jwk("e", R"("d":"AA",)") + "]}", "keys[0]");
  refused(JwtSigner::Rs256(1024).JwkSet("r"), "keys[0].n");
}

}  // namespace
}  // namespace lamella
