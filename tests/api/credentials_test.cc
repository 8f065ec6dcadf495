#include "server/api/credentials.h"

#include "common/base/reasons.h"
#include "common/formats/digest.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;

std::string Entry(const std::string& name, const std::string& key, const std::string& roles) {
  return R"({"name":")" + name + R"(","sha256":")" + Sha256Hex(key) +
         R"(","tenant":"anna","roles":[)" + roles + "]}";
}

std::string File(const std::string& entries) { return R"({"credentials":[)" + entries + "]}"; }

TEST(AuthenticatorTest, AKeyNamesItsCaller) {
  const auto authenticator =
      Authenticator::FromJson(File(Entry("app", "k1", R"("inference")") + "," +
                                   Entry("trainer", "k2", R"("adapter-writer","operator")")));
  ASSERT_TRUE(IsOk(authenticator));
  const auto app = authenticator->Authenticate("Bearer k1");
  ASSERT_TRUE(IsOk(app));
  EXPECT_EQ(app->name, "app");
  EXPECT_EQ(app->tenant, "anna");
  EXPECT_EQ(app->roles, Roles(Role::kInference));
  const auto trainer = authenticator->Authenticate("Bearer k2");
  ASSERT_TRUE(IsOk(trainer));
  EXPECT_EQ(trainer->roles, Roles(Role::kAdapterWriter) | Role::kOperator);
}

TEST(AuthenticatorTest, AnythingElseIsUnauthenticated) {
  const auto authenticator = Authenticator::FromJson(File(Entry("app", "k1", R"("inference")")));
  ASSERT_TRUE(IsOk(authenticator));
  for (const std::string value :
       {"", "k1", "Bearer", "Bearer ", "Bearer k2", "Bearer k1 ", "bearer k1", "Basic k1"}) {
    EXPECT_TRUE(IsError(authenticator->Authenticate(value), absl::StatusCode::kUnauthenticated,
                        reasons::kUnauthenticated))
        << value;
  }
  EXPECT_TRUE(IsError(authenticator->Authenticate("Bearer " + std::string(5000, 'k')),
                      absl::StatusCode::kUnauthenticated, reasons::kUnauthenticated));
  EXPECT_TRUE(IsError(authenticator->Authenticate(std::nullopt), absl::StatusCode::kUnauthenticated,
                      reasons::kUnauthenticated));
}

TEST(AuthenticatorTest, TheHashIsNoKey) {
  const auto authenticator = Authenticator::FromJson(File(Entry("app", "k1", R"("inference")")));
  ASSERT_TRUE(IsOk(authenticator));
  EXPECT_FALSE(authenticator->Authenticate("Bearer " + Sha256Hex("k1")).ok());
}

TEST(AuthenticatorTest, AnEmptyListLetsNobodyIn) {
  const auto authenticator = Authenticator::FromJson(File(""));
  ASSERT_TRUE(IsOk(authenticator));
  EXPECT_FALSE(authenticator->Authenticate("Bearer k1").ok());
}

TEST(AuthenticatorTest, WithoutAFileEveryoneIsOneTenant) {
  const auto caller = Authenticator::Everyone("default").Authenticate(std::nullopt);
  ASSERT_TRUE(IsOk(caller));
  EXPECT_EQ(caller->tenant, "default");
  EXPECT_EQ(caller->roles, Roles::All());
}

TEST(AuthenticatorTest, BadFilesAreRefusedByEntryAndKey) {
  const auto refused = [](const std::string& text, const std::string& field,
                          const std::string& part) {
    EXPECT_TRUE(IsInvalid(Authenticator::FromJson(text), reasons::kInvalidCredentials, field, part))
        << text;
  };
  const std::string good = Entry("app", "k1", R"("inference")");
  const std::string digest = std::string(64, 'a');
  refused("", "file", "");
  refused("[]", "file", "must be an object");
  refused("{}", "file.credentials", "");
  refused(R"({"credentials":[],"more":1})", "file", "unknown key \"more\"");
  refused(File("7"), "credentials[0]", "must be an object");
  refused(File(good + ",{}"), "credentials[1].name", "");
  refused(File(R"({"name":"a","sha256":")" + digest + R"(","tenant":"t","roles":[],"x":1})"),
          "credentials[0]", "unknown key \"x\"");
  refused(File(R"({"name":"A","sha256":")" + digest + R"(","tenant":"t","roles":[]})"),
          "credentials[0].name", "got \"A\"");
  refused(File(R"({"name":"a","sha256":")" + digest + R"(","tenant":"../t","roles":[]})"),
          "credentials[0].tenant", "got \"../t\"");
  refused(File(R"({"name":"a","sha256":"k1","tenant":"t","roles":["inference"]})"),
          "credentials[0].sha256", "64 lowercase hex digits");
  refused(File(Entry("app", "k1", "")), "credentials[0].roles", "at least one");
  refused(File(Entry("app", "k1", R"("root")")), "credentials[0].roles", "got \"root\"");
  refused(File(Entry("app", "k1", R"("inference","inference")")), "credentials[0].roles", "twice");
  refused(File(good + "," + Entry("app", "k2", R"("inference")")), "credentials[1].name", "twice");
  refused(File(good + "," + Entry("bpp", "k1", R"("inference")")), "credentials[1].sha256",
          "twice");
}

TEST(AuthenticatorTest, AMisplacedKeyIsNotRepeated) {
  const auto authenticator = Authenticator::FromJson(
      File(R"({"name":"a","sha256":"my-secret","tenant":"t","roles":["inference"]})"));
  EXPECT_EQ(std::string(authenticator.status().message()).find("my-secret"), std::string::npos);
}

TEST(AuthenticatorTest, ReadsAFileAndNamesNoPath) {
  const testing::TempDir dir;
  EXPECT_TRUE(IsOk(
      Authenticator::FromFile(dir.Write("c.json", File(Entry("app", "k1", R"("inference")"))))));
  const auto missing = Authenticator::FromFile(dir.path() + "/none.json");
  EXPECT_TRUE(IsInvalid(missing, reasons::kInvalidCredentials, "file"));
  EXPECT_EQ(std::string(missing.status().message()).find(dir.path()), std::string::npos);
  const auto large = Authenticator::FromFile(dir.Write("l.json", std::string(2 << 20, ' ')));
  EXPECT_TRUE(IsInvalid(large, reasons::kInvalidCredentials, "file"));
}

}  // namespace
}  // namespace lamella
