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

TEST(CredentialsTest, AKeyNamesItsCaller) {
  const auto credentials =
      Credentials::FromJson(File(Entry("app", "k1", R"("inference")") + "," +
                                 Entry("trainer", "k2", R"("adapter-writer","operator")")));
  ASSERT_TRUE(IsOk(credentials));
  const Caller* const app = credentials->FindKey("k1");
  ASSERT_NE(app, nullptr);
  EXPECT_EQ(app->name, "app");
  EXPECT_EQ(app->tenant, "anna");
  EXPECT_EQ(app->roles, Roles(Role::kInference));
  const Caller* const trainer = credentials->FindKey("k2");
  ASSERT_NE(trainer, nullptr);
  EXPECT_EQ(trainer->roles, Roles(Role::kAdapterWriter) | Role::kOperator);
}

TEST(CredentialsTest, NoOtherTextIsAKey) {
  const auto credentials = Credentials::FromJson(File(Entry("app", "k1", R"("inference")")));
  ASSERT_TRUE(IsOk(credentials));
  for (const std::string key : {"", "k", "k1 ", "K1", "k2"}) {
    EXPECT_EQ(credentials->FindKey(key), nullptr) << key;
  }
  EXPECT_EQ(credentials->FindKey(Sha256Hex("k1")), nullptr) << "the hash is no key";
  EXPECT_EQ(credentials->FindKey(std::string(5000, 'k')), nullptr);
  EXPECT_EQ(Credentials::FromJson(File(""))->FindKey("k1"), nullptr) << "an empty list";
}

TEST(CredentialsTest, WithoutAFileEveryoneIsOneTenant) {
  const Credentials everyone = Credentials::Everyone("default");
  ASSERT_NE(everyone.everyone(), nullptr);
  EXPECT_EQ(everyone.everyone()->tenant, "default");
  EXPECT_EQ(everyone.everyone()->roles, Roles::All());
  EXPECT_EQ(Credentials::FromJson(File(""))->everyone(), nullptr);
}

TEST(CredentialsTest, BadFilesAreRefusedByEntryAndKey) {
  const auto refused = [](const std::string& text, const std::string& field,
                          const std::string& part) {
    EXPECT_TRUE(IsInvalid(Credentials::FromJson(text), reasons::kInvalidCredentials, field, part))
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

TEST(CredentialsTest, AMisplacedKeyIsNotRepeated) {
  const auto credentials = Credentials::FromJson(
      File(R"({"name":"a","sha256":"my-secret","tenant":"t","roles":["inference"]})"));
  EXPECT_EQ(std::string(credentials.status().message()).find("my-secret"), std::string::npos);
}

TEST(CredentialsTest, ReadsAFileAndNamesNoPath) {
  const testing::TempDir dir;
  const std::string text = File(Entry("app", "k1", R"("inference")"));
  EXPECT_EQ(Credentials::ReadFile(dir.Write("c.json", text)).value(), text);
  const auto missing = Credentials::ReadFile(dir.path() + "/none.json");
  EXPECT_TRUE(IsInvalid(missing, reasons::kInvalidCredentials, "file"));
  EXPECT_EQ(std::string(missing.status().message()).find(dir.path()), std::string::npos);
  const auto large = Credentials::ReadFile(dir.Write("l.json", std::string(2 << 20, ' ')));
  EXPECT_TRUE(IsInvalid(large, reasons::kInvalidCredentials, "file"));
}

std::string Tenants(const std::string& tenants) {
  return R"({"credentials":[],"tenants":)" + tenants + "}";
}

TEST(TenantTableTest, TheFileSaysWhatTenantsMayTake) {
  const auto credentials = Credentials::FromJson(Tenants(
      R"({"anna":{"weight":2.5,"max_in_flight":3,"max_queued_tokens":4000,"tokens_per_minute":50000,)"
      R"("resident_floor":"1MiB","resident_ceiling":"2G","stored_bytes":"3G","stored_versions":7,)"
      R"("upload_bytes_per_day":"4M"},"bert":{}})"));
  ASSERT_TRUE(IsOk(credentials));
  const TenantDirectory& tenants = credentials->tenants();
  EXPECT_EQ(tenants.LimitsOf("anna"), (TenantLimits{.weight = 2.5,
                                                    .max_in_flight = 3,
                                                    .max_queued_tokens = 4000,
                                                    .tokens_per_minute = 50000,
                                                    .resident_floor_bytes = 1 << 20,
                                                    .resident_ceiling_bytes = int64_t{2} << 30,
                                                    .max_stored_bytes = int64_t{3} << 30,
                                                    .max_stored_versions = 7,
                                                    .upload_bytes_per_day = 4 << 20}));
  EXPECT_EQ(tenants.LimitsOf("bert"), TenantLimits());
  EXPECT_EQ(tenants.LimitsOf("carl"), TenantLimits());
}

TEST(TenantTableTest, WithoutASectionOrAFileEveryoneHasTheDefaults) {
  const auto credentials = Credentials::FromJson(R"({"credentials":[]})");
  ASSERT_TRUE(IsOk(credentials));
  EXPECT_TRUE(credentials->tenants().all().empty());
  EXPECT_TRUE(Credentials::Everyone("default").tenants().all().empty());
}

TEST(TenantTableTest, TheEndsOfRangesAreTaken) {
  for (const char* entry :
       {R"({"weight":0.01})", R"({"weight":1000})", R"({"max_in_flight":0})",
        R"({"max_in_flight":2147483647})", R"({"resident_ceiling":"0"})",
        R"({"resident_floor":"1","resident_ceiling":"1"})", R"({"resident_floor":"1"})"}) {
    EXPECT_TRUE(IsOk(Credentials::FromJson(Tenants(std::string(R"({"anna":)") + entry + "}"))))
        << entry;
  }
}

TEST(TenantTableTest, BadLimitsAreRefusedByTenantAndKey) {
  const auto refused = [](const std::string& tenants, const std::string& field,
                          const std::string& part) {
    EXPECT_TRUE(IsInvalid(Credentials::FromJson(Tenants(tenants)), reasons::kInvalidCredentials,
                          field, part))
        << tenants;
  };
  refused("[]", "file.tenants", "");
  refused("null", "file.tenants", "");
  refused(R"({"Anna":{}})", "tenants", "got \"Anna\"");
  refused(R"({"anna":1})", "tenants.anna", "must be an object");
  refused(R"({"anna":{"wieght":1}})", "tenants.anna", "unknown key \"wieght\"");
  for (const char* weight : {"0", "0.009", "1000.5", "-1"}) {
    refused(std::string(R"({"anna":{"weight":)") + weight + "}}", "tenants.anna.weight",
            "must be 0.01 to 1000");
  }
  refused(R"({"anna":{"weight":"2"}})", "tenants.anna.weight", "");
  refused(R"({"anna":{"max_in_flight":-1}})", "tenants.anna.max_in_flight", "got -1");
  refused(R"({"anna":{"max_in_flight":2147483648}})", "tenants.anna.max_in_flight", "2147483647");
  refused(R"({"anna":{"max_queued_tokens":1.5}})", "tenants.anna.max_queued_tokens", "");
  refused(R"({"anna":{"tokens_per_minute":-5}})", "tenants.anna.tokens_per_minute", "got -5");
  refused(R"({"anna":{"resident_floor":1024}})", "tenants.anna.resident_floor", "");
  refused(R"({"anna":{"resident_floor":"lots"}})", "tenants.anna.resident_floor", "got \"lots\"");
  refused(R"({"anna":{"resident_floor":"2K","resident_ceiling":"1K"}})",
          "tenants.anna.resident_floor", "at most resident_ceiling, 1KiB, got 2KiB");
  refused(R"({"anna":{"stored_bytes":5}})", "tenants.anna.stored_bytes", "");
  refused(R"({"anna":{"stored_versions":-1}})", "tenants.anna.stored_versions", "got -1");
  refused(R"({"anna":{"upload_bytes_per_day":"much"}})", "tenants.anna.upload_bytes_per_day", "");
  refused(R"({"anna":{},"anna":{}})", "file", "appears twice");
}

}  // namespace
}  // namespace lamella
