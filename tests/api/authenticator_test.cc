#include "server/api/authenticator.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "common/base/reasons.h"
#include "common/formats/digest.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsOk;

// One caller, "app" of `tenant`, whose key is `key`.
Credentials One(const std::string& key, const std::string& tenant) {
  return *Credentials::FromJson(R"({"credentials":[{"name":"app","sha256":")" + Sha256Hex(key) +
                                R"(","tenant":")" + tenant + R"(","roles":["inference"]}],)" +
                                R"("tenants":{")" + tenant + R"(":{"weight":3}}})");
}

TEST(AuthenticatorTest, AKnownKeyIsItsCaller) {
  const Authenticator authenticator(One("k1", "anna"));
  const auto caller = authenticator.Authenticate({.authorization = "Bearer k1"});
  ASSERT_TRUE(IsOk(caller));
  EXPECT_EQ(caller->name, "app");
  EXPECT_EQ(caller->tenant, "anna");
}

TEST(AuthenticatorTest, AnythingElseIsUnauthenticated) {
  const Authenticator authenticator(One("k1", "anna"));
  for (const std::string value :
       {"", "k1", "Bearer", "Bearer ", "Bearer k2", "Bearer k1 ", "bearer k1", "Basic k1"}) {
    EXPECT_TRUE(IsError(authenticator.Authenticate({.authorization = value}),
                        absl::StatusCode::kUnauthenticated, reasons::kUnauthenticated))
        << value;
  }
  EXPECT_TRUE(IsError(authenticator.Authenticate({}), absl::StatusCode::kUnauthenticated,
                      reasons::kUnauthenticated));
}

TEST(AuthenticatorTest, WithoutAFileNobodyIsAsked) {
  const Authenticator authenticator(Credentials::Everyone("default"));
  const auto caller = authenticator.Authenticate({});
  ASSERT_TRUE(IsOk(caller));
  EXPECT_EQ(caller->tenant, "default");
}

TEST(AuthenticatorTest, AReplacementCountsFromTheNextCallOn) {
  Authenticator authenticator(One("k1", "anna"));
  EXPECT_EQ(authenticator.LimitsOf("anna").weight, 3);
  authenticator.Replace(One("k2", "ben"));
  EXPECT_FALSE(authenticator.Authenticate({.authorization = "Bearer k1"}).ok());
  ASSERT_TRUE(IsOk(authenticator.Authenticate({.authorization = "Bearer k2"})));
  EXPECT_EQ(authenticator.LimitsOf("anna").weight, 1);
  EXPECT_EQ(authenticator.LimitsOf("ben").weight, 3);
}

TEST(AuthenticatorTest, AReplacementFailsNoCallThatBothFilesLetIn) {
  Authenticator authenticator(One("k1", "anna"));
  std::atomic<bool> done = false;
  std::vector<std::thread> callers;
  std::atomic<int> failed = 0;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back([&] {
      while (!done)
        failed += authenticator.Authenticate({.authorization = "Bearer k1"}).ok() ? 0 : 1;
    });
  }
  for (int i = 0; i < 1000; ++i) authenticator.Replace(One("k1", i % 2 == 0 ? "ben" : "anna"));
  done = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failed, 0);
}

}  // namespace
}  // namespace lamella
