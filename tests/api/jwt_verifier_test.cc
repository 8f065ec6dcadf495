#include "server/api/jwt_verifier.h"

#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "server/api/authenticator.h"
#include "tests/testing/jwt_signer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsOk;
using testing::JwtSigner;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class JwtVerifierTest : public ::testing::Test {
 protected:
  static JwtOptions Options() { return {.issuer = "https://id", .audience = "lamella"}; }
  // What is right about a token; `change` replaces one of its claims, "" leaves it out.
  static std::string Claims(const std::string& name = "", const std::string& change = "") {
    std::string claims;
    for (const auto& [claim, value] :
         std::map<std::string, std::string>{{"iss", R"("https://id")"},
                                            {"aud", R"("lamella")"},
                                            {"exp", "1800000060"},
                                            {"sub", R"("anna@example")"},
                                            {"tenant", R"("anna")"},
                                            {"roles", R"(["inference","reader"])"}}) {
      const std::string& now = claim == name ? change : value;
      if (!now.empty())
        absl::StrAppend(&claims, claims.empty() ? "" : ",", "\"", claim, "\":", now);
    }
    if (name == "nbf") absl::StrAppend(&claims, ",\"nbf\":", change);
    return "{" + claims + "}";
  }
  absl::StatusOr<Caller> Verify(const std::string& claims, absl::Time now = kNow) {
    return verifier_.Verify(signer_.Token(claims), now);
  }
  void ExpectRefused(const std::string& name, const std::string& change) {
    EXPECT_TRUE(IsError(Verify(Claims(name, change)), absl::StatusCode::kUnauthenticated,
                        reasons::kUnauthenticated))
        << name << " " << change;
  }

  const JwtSigner signer_ = JwtSigner::Es256();
  JwtVerifier verifier_{Options(), *JwtKeys::FromJson(signer_.JwkSet("k"))};
};

TEST_F(JwtVerifierTest, ClaimsNameTenantAndRoles) {
  const auto caller = Verify(Claims());
  ASSERT_TRUE(IsOk(caller));
  EXPECT_EQ(caller->tenant, "anna");
  EXPECT_EQ(caller->roles, Roles(Role::kInference)) << "words that are no role of ours are nothing";
  EXPECT_EQ(caller->name, "jwt:anna@example");
}

TEST_F(JwtVerifierTest, ListsMayBeArraysOrWords) {
  EXPECT_EQ(Verify(Claims("roles", R"("adapter-writer operator x")"))->roles,
            Roles(Role::kAdapterWriter) | Role::kOperator);
  EXPECT_TRUE(Verify(Claims("roles", ""))->roles.empty());
  EXPECT_TRUE(IsOk(Verify(Claims("aud", R"(["other","lamella"])"))));
}

TEST_F(JwtVerifierTest, WhatIsForOthersIsRefused) {
  ExpectRefused("iss", R"("https://other")");
  ExpectRefused("iss", "");
  ExpectRefused("aud", R"("other")");
  ExpectRefused("aud", R"("lamella other")");
  ExpectRefused("aud", "[]");
  ExpectRefused("aud", "");
  ExpectRefused("tenant", R"("../anna")");
  ExpectRefused("tenant", "7");
  ExpectRefused("tenant", "");
}

TEST_F(JwtVerifierTest, TokensHoldForTheirTime) {
  EXPECT_TRUE(IsOk(Verify(Claims(), kNow + absl::Seconds(89))));
  EXPECT_FALSE(Verify(Claims(), kNow + absl::Seconds(90)).ok()) << "30 s after its end";
  ExpectRefused("exp", "");
  ExpectRefused("exp", R"("1800000060")");
  ExpectRefused("nbf", "1800000031");
  EXPECT_TRUE(IsOk(Verify(Claims("nbf", "1800000030"))));
}

TEST_F(JwtVerifierTest, ReplacedKeysCountFromTheNextTokenOn) {
  const JwtSigner next = JwtSigner::Es256();
  EXPECT_FALSE(verifier_.Verify(next.Token(Claims()), kNow).ok());
  verifier_.Replace(*JwtKeys::FromJson(next.JwkSet("k")));
  EXPECT_TRUE(IsOk(verifier_.Verify(next.Token(Claims()), kNow)));
  EXPECT_FALSE(Verify(Claims()).ok());
}

TEST_F(JwtVerifierTest, AnAuthenticatorTakesTokensBesideKeys) {
  const std::string exp = std::to_string(absl::ToUnixSeconds(absl::Now()) + 60);
  const std::string header = "Bearer " + signer_.Token(Claims("exp", exp));
  const Authenticator with(
      Credentials::Nobody(),
      std::make_unique<JwtVerifier>(Options(), *JwtKeys::FromJson(signer_.JwkSet("k"))));
  const auto caller = with.Authenticate({.authorization = header});
  ASSERT_TRUE(IsOk(caller));
  EXPECT_EQ(caller->tenant, "anna");
  EXPECT_FALSE(with.Authenticate({}).ok());
  const Authenticator without(Credentials::Nobody());
  EXPECT_FALSE(without.Authenticate({.authorization = header}).ok());
}

}  // namespace
}  // namespace lamella
