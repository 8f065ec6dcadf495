#include "server/api/resource_names.h"

#include "common/base/reasons.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;

const Caller kAnna = {.name = "a", .tenant = "anna", .roles = Role::kAdapterWriter};
const Caller kSite = {.name = "s", .tenant = "site", .roles = Role::kOperator};
const std::string kDigest(64, 'a');

TEST(ResourceNamesTest, NamesSayWhatTheyAreMadeOf) {
  const auto version =
      ParseVersionName("name", "tenants/anna/adapters/x.1/versions/" + kDigest, kAnna);
  ASSERT_TRUE(IsOk(version));
  EXPECT_EQ(version->tenant, "anna");
  EXPECT_EQ(version->adapter, "x.1");
  EXPECT_EQ(version->version, kDigest);
  EXPECT_EQ(VersionName("anna", "x.1", kDigest), "tenants/anna/adapters/x.1/versions/" + kDigest);
  const auto adapter = ParseAdapterName("name", AdapterName("anna", "x"), kAnna);
  ASSERT_TRUE(IsOk(adapter));
  EXPECT_EQ(adapter->adapter, "x");
  EXPECT_EQ(adapter->version, "");
}

TEST(ResourceNamesTest, ADashAndNothingAreTheCallersOwnTenant) {
  EXPECT_EQ(ParseAdapterName("name", "tenants/-/adapters/x", kAnna)->tenant, "anna");
  EXPECT_EQ(ParseTenantName("parent", "tenants/-", kAnna)->tenant, "anna");
  EXPECT_EQ(ParseTenantName("parent", "", kSite)->tenant, "site");
}

TEST(ResourceNamesTest, OnlyOperatorsNameOtherTenants) {
  EXPECT_TRUE(IsError(ParseAdapterName("name", "tenants/ben/adapters/x", kAnna),
                      absl::StatusCode::kNotFound, reasons::kAdapterNotFound, "name"));
  EXPECT_TRUE(IsError(ParseTenantName("parent", "tenants/ben", kAnna), absl::StatusCode::kNotFound,
                      reasons::kAdapterNotFound, "parent"));
  EXPECT_EQ(ParseAdapterName("name", "tenants/ben/adapters/x", kSite)->tenant, "ben");
}

TEST(ResourceNamesTest, OtherFormsAreRefused) {
  for (const std::string name :
       {"", "x", "tenants/anna", "tenants/anna/adapters", "tenants/anna/adapters/",
        "tenants//adapters/x", "tenants/anna/adapters/X", "tenants/anna/adapters/../x",
        "/tenants/anna/adapters/x", "tenants/anna/adapters/x/", "tenants/anna/models/x",
        "tenants/-a/adapters/x", "tenants/anna/adapters/x/versions/abc"}) {
    EXPECT_TRUE(IsInvalid(ParseAdapterName("name", name, kAnna), reasons::kInvalidResourceName,
                          "name", "tenants/TENANT/adapters/ADAPTER"))
        << name;
  }
  EXPECT_TRUE(IsInvalid(ParseVersionName("name", "tenants/-/adapters/x/versions/live", kAnna),
                        reasons::kInvalidResourceName, "name"));
  EXPECT_TRUE(IsInvalid(ParseAdapterName("name", std::string(100'000, '/'), kAnna),
                        reasons::kInvalidResourceName, "name"));
}

}  // namespace
}  // namespace lamella
