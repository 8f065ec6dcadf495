// AdapterAdminService over a socket and a real store: names, aliases, etags, lists, and who may do
// what. Of single versions: admin_versions_test.cc.
#include "server/api/adapter_admin_service.h"

#include <google/protobuf/descriptor.h>

#include "tests/api/admin_fixture.h"
#include "tests/api/call_by_name.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Stub = v1::AdapterAdminService::Stub;

class AdapterAdminServiceTest : public AdminTest {
 protected:
  grpc::Status SetLive(const std::string& adapter, const std::string& version,
                       const std::string& etag, v1::Adapter* after = nullptr) {
    v1::SetAliasRequest request;
    request.set_name("tenants/-/adapters/" + adapter);
    request.set_alias("live");
    request.set_version(version);
    request.set_etag(etag);
    v1::SetAliasResponse response;
    const grpc::Status status = Call(&Stub::SetAlias, request, &response);
    if (after != nullptr) *after = response.adapter();
    return status;
  }

  grpc::Status Get(const std::string& name, const std::string& key) {
    v1::GetAdapterRequest request;
    request.set_name(name);
    v1::GetAdapterResponse response;
    return Call(&Stub::GetAdapter, request, &response, key);
  }

  // A call of any method with an empty message: what comes back without a right to make it.
  grpc::Status CallAny(const std::string& method, const std::string& key) {
    grpc::ClientContext context;
    AddKey(key, &context);
    std::string response;
    return testing::CallByName(channel_, &context, method, "", &response);
  }
};

TEST_F(AdapterAdminServiceTest, NoMethodAnswersWithoutAKeyOrARole) {
  UseCredentials();
  const auto* service =
      v1::GetAdapterRequest::descriptor()->file()->FindServiceByName("AdapterAdminService");
  ASSERT_EQ(service->method_count(), 18);
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string method = "/lamella.v1.AdapterAdminService/" + service->method(i)->name();
    EXPECT_EQ(CallAny(method, "").error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
    EXPECT_EQ(CallAny(method, "nobody").error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
    // Everyone with a key may see what they used.
    const bool anyones = service->method(i)->name() == "GetTenantUsage";
    EXPECT_EQ(CallAny(method, "ina").error_code(),
              anyones ? grpc::StatusCode::OK : grpc::StatusCode::PERMISSION_DENIED)
        << method;
  }
}

TEST_F(AdapterAdminServiceTest, ForeignAdaptersAreAsUnknownOnes) {
  UseCredentials();
  MustUpload("mine", 0.01F, "anna");
  EXPECT_TRUE(Get("tenants/anna/adapters/mine", "anna").ok());
  EXPECT_TRUE(Get("tenants/-/adapters/mine", "anna").ok());
  EXPECT_TRUE(Get("tenants/anna/adapters/mine", "otto").ok());
  const grpc::Status foreign = Get("tenants/anna/adapters/mine", "ben");
  const grpc::Status unknown = Get("tenants/anna/adapters/none", "ben");
  const grpc::Status own = Get("tenants/-/adapters/mine", "ben");
  for (const grpc::Status& status : {foreign, unknown, own}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(DetailsOf(status).info.reason(), "ADAPTER_NOT_FOUND");
  }
  v1::ListAdaptersRequest list;
  list.set_parent("tenants/anna");
  v1::ListAdaptersResponse listed;
  EXPECT_EQ(Call(&Stub::ListAdapters, list, &listed, "ben").error_code(),
            grpc::StatusCode::NOT_FOUND);
  list.set_parent("");
  ASSERT_TRUE(Call(&Stub::ListAdapters, list, &listed, "ben").ok());
  EXPECT_THAT(listed.adapters(), IsEmpty());
}

TEST_F(AdapterAdminServiceTest, NobodyUploadsForAnotherTenantButOperators) {
  UseCredentials();
  const auto for_anna = [](v1::UploadHeader* header) {
    header->set_adapter("tenants/anna/adapters/mine");
  };
  EXPECT_EQ(Upload("mine", Files(), for_anna, "ben").status.error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(store_->Tenants(), IsEmpty());
  EXPECT_TRUE(Upload("mine", Files(), for_anna, "otto").status.ok());
  EXPECT_TRUE(Get("tenants/-/adapters/mine", "anna").ok());
}

TEST_F(AdapterAdminServiceTest, ChangesAreGuardedByTheEtag) {
  const std::string one = MustUpload("mine", 0.01F);
  const std::string old_etag = GetAdapter("mine").etag();
  const std::string two = MustUpload("mine", 0.02F);
  const grpc::Status stale = SetLive("mine", one, old_etag);
  EXPECT_EQ(stale.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(DetailsOf(stale).info.reason(), "ETAG_MISMATCH");
  EXPECT_EQ(store_->Resolve("default", "mine", "")->version, two);
  v1::Adapter after;
  ASSERT_TRUE(SetLive("mine", one, GetAdapter("mine").etag(), &after).ok());
  EXPECT_EQ(after.etag(), GetAdapter("mine").etag());
  EXPECT_EQ(store_->Resolve("default", "mine", "")->version, one);
  // Rolling back is one call.
  ASSERT_TRUE(SetLive("mine", two, after.etag()).ok());
  EXPECT_EQ(store_->Resolve("default", "mine", "")->version, two);
}

TEST_F(AdapterAdminServiceTest, AnAliasMaySplitItsTraffic) {
  const std::string one = MustUpload("mine", 0.01F);
  const std::string two = MustUpload("mine", 0.02F);
  v1::SetAliasRequest request;
  request.set_name("tenants/-/adapters/mine");
  request.set_alias("canary");
  for (const auto& [version, weight] : {std::pair(one, 9U), std::pair(two, 1U)}) {
    auto* target = request.mutable_split()->add_targets();
    target->set_version(version);
    target->set_weight(weight);
  }
  v1::SetAliasResponse response;
  ASSERT_TRUE(Call(&Stub::SetAlias, request, &response).ok());
  std::map<std::string, int> routed;
  for (int i = 0; i < 1000; ++i) {
    ++routed[store_->Resolve("default", "mine@canary", std::to_string(i))->version];
  }
  EXPECT_NEAR(routed[one], 900, 60);
  EXPECT_NEAR(routed[two], 100, 60);
}

TEST_F(AdapterAdminServiceTest, BadTargetsNameTheField) {
  const std::string one = MustUpload("mine", 0.01F);
  v1::SetAliasResponse response;
  const auto refused = [&](const std::string& reason, const std::string& field,
                           const std::function<void(v1::SetAliasRequest*)>& change) {
    v1::SetAliasRequest request;
    request.set_name("tenants/-/adapters/mine");
    request.set_alias("live");
    change(&request);
    ExpectError(Call(&Stub::SetAlias, request, &response), grpc::StatusCode::INVALID_ARGUMENT,
                reason, field);
  };
  const auto add = [](v1::SetAliasRequest* r, const std::string& version, uint32_t weight) {
    auto* target = r->mutable_split()->add_targets();
    target->set_version(version);
    target->set_weight(weight);
  };
  refused("OUT_OF_RANGE", "target", [](v1::SetAliasRequest*) {});
  refused("OUT_OF_RANGE", "target", [](v1::SetAliasRequest* r) { r->mutable_split(); });
  refused("INVALID_RESOURCE_NAME", "version", [](v1::SetAliasRequest* r) { r->set_version("1"); });
  refused("INVALID_RESOURCE_NAME", "alias", [&](v1::SetAliasRequest* r) {
    r->set_alias("a/b");
    r->set_version(one);
  });
  refused("OUT_OF_RANGE", "split.targets[0].weight",
          [&](v1::SetAliasRequest* r) { add(r, one, 0); });
  refused("DUPLICATE_KEY", "split.targets[1].version", [&](v1::SetAliasRequest* r) {
    add(r, one, 1);
    add(r, one, 2);
  });
  refused("TOO_MANY", "split.targets", [&](v1::SetAliasRequest* r) {
    for (int i = 0; i < 17; ++i) add(r, one, 1);
  });
  EXPECT_EQ(SetLive("mine", std::string(64, 'e'), "").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(AdapterAdminServiceTest, WhatAnAliasPointsToIsDeletedOnlyByForce) {
  const std::string version = MustUpload("mine");
  v1::DeleteVersionRequest request;
  request.set_name(VersionOf("mine", version));
  v1::DeleteVersionResponse response;
  const grpc::Status in_use = Call(&Stub::DeleteVersion, request, &response);
  EXPECT_EQ(in_use.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(in_use).info.reason(), "VERSION_IN_USE");
  request.set_force(true);
  EXPECT_TRUE(Call(&Stub::DeleteVersion, request, &response).ok());
  EXPECT_EQ(store_->Resolve("default", "mine", "").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(AdapterAdminServiceTest, AdaptersAndAliasesCanBeDeleted) {
  MustUpload("mine");
  v1::DeleteAliasRequest unset;
  unset.set_name("tenants/-/adapters/mine");
  unset.set_alias("live");
  v1::DeleteAliasResponse unset_response;
  ASSERT_TRUE(Call(&Stub::DeleteAlias, unset, &unset_response).ok());
  EXPECT_THAT(unset_response.adapter().aliases(), IsEmpty());
  v1::DeleteAdapterRequest request;
  request.set_name("tenants/-/adapters/mine");
  v1::DeleteAdapterResponse response;
  EXPECT_TRUE(Call(&Stub::DeleteAdapter, request, &response).ok());
  EXPECT_EQ(Get("tenants/-/adapters/mine", "").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(AdapterAdminServiceTest, AdaptersComeInPages) {
  for (const char* adapter : {"cleo", "anna", "ben"}) MustUpload(adapter);
  v1::ListAdaptersRequest request;
  request.set_page_size(2);
  v1::ListAdaptersResponse page;
  ASSERT_TRUE(Call(&Stub::ListAdapters, request, &page).ok());
  ASSERT_THAT(page.adapters(), SizeIs(2));
  EXPECT_EQ(page.adapters(0).name(), "tenants/default/adapters/anna");
  EXPECT_EQ(page.adapters(1).name(), "tenants/default/adapters/ben");
  request.set_page_token(page.next_page_token());
  ASSERT_TRUE(Call(&Stub::ListAdapters, request, &page).ok());
  ASSERT_THAT(page.adapters(), SizeIs(1));
  EXPECT_EQ(page.adapters(0).name(), "tenants/default/adapters/cleo");
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(AdapterAdminServiceTest, VersionsComeInPagesNewestFirstAndByState) {
  std::vector<std::string> versions;
  for (int i = 1; i <= 3; ++i) {
    versions.push_back(MustUpload("mine", 0.01F * static_cast<float>(i)));
  }
  v1::QuarantineVersionRequest quarantine;
  quarantine.set_name(VersionOf("mine", versions[1]));
  v1::QuarantineVersionResponse quarantined;
  ASSERT_TRUE(Call(&Stub::QuarantineVersion, quarantine, &quarantined).ok());
  const auto list = [&](v1::VersionState state) {
    std::vector<std::string> names;
    v1::ListVersionsRequest request;
    request.set_parent("tenants/-/adapters/mine");
    request.set_page_size(1);
    request.set_state(state);
    do {
      v1::ListVersionsResponse page;
      const grpc::Status status = Call(&Stub::ListVersions, request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const auto& version : page.versions()) {
        names.push_back(version.name().substr(version.name().rfind('/') + 1));
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return names;
  };
  EXPECT_THAT(list(v1::VERSION_STATE_UNSPECIFIED), ::testing::UnorderedElementsAreArray(versions));
  EXPECT_THAT(list(v1::VERSION_STATE_QUARANTINED), ElementsAre(versions[1]));
  EXPECT_THAT(list(v1::VERSION_STATE_READY),
              ::testing::UnorderedElementsAre(versions[0], versions[2]));
}

TEST_F(AdapterAdminServiceTest, APageTokenIsOfOneList) {
  for (const char* adapter : {"anna", "ben"}) MustUpload(adapter);
  MustUpload("ben", 0.02F);
  v1::ListAdaptersRequest adapters;
  adapters.set_page_size(1);
  v1::ListAdaptersResponse page;
  ASSERT_TRUE(Call(&Stub::ListAdapters, adapters, &page).ok());
  v1::ListVersionsRequest versions;
  versions.set_parent("tenants/-/adapters/ben");
  versions.set_page_token(page.next_page_token());
  v1::ListVersionsResponse versions_page;
  ExpectError(Call(&Stub::ListVersions, versions, &versions_page),
              grpc::StatusCode::INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", "page_token");
  adapters.set_page_token("anna");
  ExpectError(Call(&Stub::ListAdapters, adapters, &page), grpc::StatusCode::INVALID_ARGUMENT,
              "INVALID_PAGE_TOKEN", "page_token");
  adapters.set_page_token("");
  adapters.set_page_size(-1);
  ExpectError(Call(&Stub::ListAdapters, adapters, &page), grpc::StatusCode::INVALID_ARGUMENT,
              "OUT_OF_RANGE", "page_size");
}

TEST_F(AdapterAdminServiceTest, EveryChangeIsInTheAuditLogUnderItsCaller) {
  UseCredentials();
  MustUpload("mine", 0.01F, "anna");
  const auto entries = store_->AuditLog("anna", 10);
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_FALSE(entries->empty());
  EXPECT_EQ(entries->front().actor, "anna");
  EXPECT_EQ(entries->front().result, "OK");
}

TEST_F(AdapterAdminServiceTest, AfterAChangeOfBaseTheMisfitsAreListed) {
  MustUpload("mine");
  StopServer();
  base_ = testing::MakeDecoderSpec({.layers = 1, .hidden = 64});
  base_.fingerprint = std::string(64, 'e');
  Start();
  v1::ListMisfitsResponse page;
  ASSERT_TRUE(Call(&Stub::ListMisfits, v1::ListMisfitsRequest(), &page).ok());
  ASSERT_THAT(page.versions(), SizeIs(1));
  EXPECT_FALSE(page.versions(0).fits_base());
  EXPECT_EQ(page.next_page_token(), "");
}

}  // namespace
}  // namespace lamella
