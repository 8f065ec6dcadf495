// GetTenantUsage and the quotas of uploads, over a real store.
#include <gtest/gtest.h>

#include <string>

#include "tests/api/admin_fixture.h"

namespace lamella {
namespace {

class TenantUsageTest : public AdminTest {
 protected:
  // As `key`'s owner; the status alone if it is not OK.
  grpc::Status Get(const std::string& key, const std::string& name,
                   v1::GetTenantUsageResponse* usage) {
    v1::GetTenantUsageRequest request;
    request.set_name(name);
    return Call(&v1::AdapterAdminService::Stub::GetTenantUsage, request, usage, key);
  }
  // Anna's; nobody else has a key.
  void Limit(const std::string& limits) {
    authenticator_.Replace(*Credentials::FromJson(
        R"({"credentials":[{"name":"anna","sha256":")" + Sha256Hex("anna") +
        R"(","tenant":"anna","roles":["adapter-writer"]}],"tenants":{"anna":)" + limits + "}}"));
  }
  UploadOutcome UploadAsAnna(const std::string& adapter, const UploadFiles& files) {
    return Upload(adapter, files, nullptr, "anna");
  }
};

TEST_F(TenantUsageTest, TellsWhatTheTenantDidHasAndMayHave) {
  Limit(R"({"weight":2,"max_in_flight":3,"stored_bytes":"1GiB","upload_bytes_per_day":"2GiB"})");
  const UploadFiles files = Files();
  ASSERT_TRUE(UploadAsAnna("mine", files).status.ok());
  loads_["anna"] = {.in_flight = 5, .queued = 2, .queued_tokens = 70};
  const Metrics& metrics = *registry_.metrics();
  metrics.by_tenant.Add("anna", TenantCount::kRequests, 7);
  metrics.by_tenant.Add("anna", TenantCount::kGeneratedTokens, 90);
  metrics.by_tenant.Add("ben", TenantCount::kRequests, 1000);
  v1::GetTenantUsageResponse usage;
  const grpc::Status status = Get("anna", "", &usage);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(usage.name(), "tenants/anna");
  EXPECT_EQ(usage.counters().requests(), 7);
  EXPECT_EQ(usage.counters().generated_tokens(), 90);
  EXPECT_EQ(usage.holdings().in_flight(), 5);
  EXPECT_EQ(usage.holdings().queued_tokens(), 70);
  EXPECT_EQ(usage.holdings().resident_bytes(), 4096);
  EXPECT_EQ(usage.holdings().stored_bytes(), static_cast<int64_t>(files.weights.size()));
  EXPECT_EQ(usage.holdings().stored_versions(), 1);
  EXPECT_EQ(usage.holdings().adapters(), 1);
  EXPECT_EQ(usage.holdings().uploaded_today_bytes(), static_cast<int64_t>(files.bytes()));
  EXPECT_EQ(usage.quotas().weight(), 2);
  EXPECT_EQ(usage.quotas().max_in_flight(), 3);
  EXPECT_EQ(usage.quotas().stored_bytes(), int64_t{1} << 30);
  EXPECT_EQ(usage.quotas().upload_bytes_per_day(), int64_t{2} << 30);
  EXPECT_EQ(usage.start_time().seconds(), 1'000'000);
  EXPECT_GT(usage.read_time().seconds(), usage.start_time().seconds());
}

TEST_F(TenantUsageTest, OnlyOperatorsSeeOthers) {
  UseCredentials();
  v1::GetTenantUsageResponse usage;
  EXPECT_TRUE(Get("anna", "tenants/-", &usage).ok());
  EXPECT_EQ(usage.name(), "tenants/anna");
  EXPECT_TRUE(Get("otto", "tenants/anna", &usage).ok());
  EXPECT_EQ(usage.name(), "tenants/anna");
  ExpectError(Get("ben", "tenants/anna", &usage), grpc::StatusCode::NOT_FOUND, "ADAPTER_NOT_FOUND",
              "name");
  ExpectError(Get("ben", "tenants/nobody", &usage), grpc::StatusCode::NOT_FOUND,
              "ADAPTER_NOT_FOUND", "name");
}

TEST_F(TenantUsageTest, UploadsPastTheDaysBytesAreRefusedUntilTomorrow) {
  const UploadFiles files = Files();
  Limit(R"({"upload_bytes_per_day":")" + std::to_string(files.bytes() + 10) + R"("})");
  ASSERT_TRUE(UploadAsAnna("mine", files).status.ok());
  const grpc::Status status = UploadAsAnna("mine", files).status;
  ExpectError(status, grpc::StatusCode::RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", "");
  const ErrorDetails details = DetailsOf(status);
  EXPECT_TRUE(details.has_retry);
  EXPECT_LE(details.retry.retry_delay().seconds(), 24 * 60 * 60);
  EXPECT_EQ(details.quota.violations(0).subject(), "tenants/-");
}

TEST_F(TenantUsageTest, WhatARefusedUploadDidNotSendIsGivenBack) {
  Limit(R"({"stored_versions":1})");
  const UploadFiles files = Files();
  ASSERT_TRUE(UploadAsAnna("mine", files).status.ok());
  ExpectError(UploadAsAnna("other", Files(0.25F)).status, grpc::StatusCode::RESOURCE_EXHAUSTED,
              "QUOTA_EXCEEDED", "");
  EXPECT_EQ(upload_quota_.UsedToday("anna", clock_.Now()), static_cast<int64_t>(files.bytes()));
}

TEST_F(TenantUsageTest, AnUploadThatAQuotaRefusedCountsForItsTenant) {
  Limit(R"({"stored_versions":1})");
  const auto refused = [this] {
    const std::vector<double> counts = registry_.metrics()->by_tenant.Of("anna");
    return counts.empty() ? 0 : counts[static_cast<size_t>(TenantCount::kUploadsRefused)];
  };
  ASSERT_TRUE(UploadAsAnna("mine", Files()).status.ok());
  EXPECT_EQ(refused(), 0);
  ASSERT_FALSE(UploadAsAnna("other", Files(0.25F)).status.ok());
  EXPECT_EQ(refused(), 1);
}

}  // namespace
}  // namespace lamella
