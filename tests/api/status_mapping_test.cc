#include "server/api/status_mapping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/api/api_fixture.h"

namespace lamella {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

TEST(StatusMappingTest, FieldBecomesBadRequest) {
  const grpc::Status status =
      ToGrpcStatus(MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange,
                             "sampling.top_p", "sampling.top_p: must be in (0, 1], got 2"),
                   "id-1");
  ExpectError(status, grpc::StatusCode::INVALID_ARGUMENT, "OUT_OF_RANGE", "sampling.top_p");
  EXPECT_EQ(status.error_message(), "sampling.top_p: must be in (0, 1], got 2");
  EXPECT_EQ(DetailsOf(status).info.metadata().at("request_id"), "id-1");
  EXPECT_FALSE(DetailsOf(status).has_retry);
}

TEST(StatusMappingTest, DelayBecomesRetryInfo) {
  const grpc::Status status =
      ToGrpcStatus(MakeRetryableError(absl::StatusCode::kResourceExhausted, reasons::kQueueFull,
                                      "full", absl::Milliseconds(2500)),
                   "id");
  ExpectError(status, grpc::StatusCode::RESOURCE_EXHAUSTED, "QUEUE_FULL", "");
  const ErrorDetails details = DetailsOf(status);
  ASSERT_TRUE(details.has_retry);
  EXPECT_EQ(details.retry.retry_delay().seconds(), 2);
  EXPECT_EQ(details.retry.retry_delay().nanos(), 500'000'000);
}

// The reasons that docs/errors.md gives the code.
std::vector<std::string> ReasonsWith(const std::string& code) {
  std::vector<std::string> found;
  std::ifstream in(std::string(LAMELLA_SOURCE_DIR) + "/docs/errors.md");
  EXPECT_TRUE(in.is_open());
  for (std::string line; std::getline(in, line);) {
    const size_t end = line.find("` | " + code + " |");
    if (line.starts_with("| `") && end != std::string::npos)
      found.push_back(line.substr(3, end - 3));
  }
  return found;
}

TEST(StatusMappingTest, EveryRefusalForNowSaysWhenToRetry) {
  const auto expect_delay = [](absl::StatusCode code, const std::string& reason) {
    const ErrorDetails details =
        DetailsOf(ToGrpcStatus(MakeError(code, reason, "adapter_id", "not now"), "id"));
    ASSERT_TRUE(details.has_retry) << reason;
    EXPECT_GE(details.retry.retry_delay().seconds(), 1) << reason;
    EXPECT_EQ(details.field(), "adapter_id");
  };
  const std::vector<std::string> exhausted = ReasonsWith("RESOURCE_EXHAUSTED");
  const std::vector<std::string> unavailable = ReasonsWith("UNAVAILABLE");
  EXPECT_THAT(exhausted, IsSupersetOf({reasons::kPinLimit, reasons::kSlowReader,
                                       reasons::kStoreFull, reasons::kAdapterCacheFull}));
  EXPECT_THAT(unavailable, IsSupersetOf({reasons::kStoreUnwritable, reasons::kAdapterLoading}));
  for (const std::string& reason : exhausted) {
    expect_delay(absl::StatusCode::kResourceExhausted, reason);
  }
  for (const std::string& reason : unavailable) {
    expect_delay(absl::StatusCode::kUnavailable, reason);
  }
  const grpc::Status unexplained = ToGrpcStatus(absl::UnavailableError("socket"), "id");
  ExpectError(unexplained, grpc::StatusCode::INTERNAL, "INTERNAL", "");
  EXPECT_FALSE(DetailsOf(unexplained).has_retry);
}

TEST(StatusMappingTest, ALimitBecomesQuotaFailureThatNamesIt) {
  const auto violation = [](const char* reason) {
    const grpc::Status status =
        ToGrpcStatus(MakeRetryableError(absl::StatusCode::kResourceExhausted, reason, "too much",
                                        absl::Seconds(1)),
                     "id");
    const rpc::v1::QuotaFailure quota = DetailsOf(status).quota;
    EXPECT_EQ(quota.violations_size(), 1);
    return quota.violations(0).subject() + "|" + quota.violations(0).description();
  };
  EXPECT_EQ(violation(reasons::kTenantInFlightLimit), "tenants/-|max_in_flight: too much");
  EXPECT_EQ(violation(reasons::kQuotaExceeded),
            "tenants/-|stored_bytes, stored_versions, upload_bytes_per_day: too much");
  EXPECT_EQ(violation(reasons::kTokensPerMinute), "server|--tokens-per-minute: too much");
  const grpc::Status slow = ToGrpcStatus(
      MakeError(absl::StatusCode::kResourceExhausted, reasons::kSlowReader, "", "slow"), "id");
  EXPECT_EQ(DetailsOf(slow).quota.violations_size(), 0);
}

TEST(StatusMappingTest, ErrorsWithoutReasonKeepTheirTextAtHome) {
  const grpc::Status status = ToGrpcStatus(absl::NotFoundError("/secret/path is gone"), "id");
  ExpectError(status, grpc::StatusCode::INTERNAL, "INTERNAL", "");
  EXPECT_THAT(status.error_message(), Not(HasSubstr("secret")));
  EXPECT_THAT(status.error_message(), HasSubstr("request id"));
}

TEST(StatusMappingTest, CancelAndDeadlineStayWhatTheyAre) {
  ExpectError(ToGrpcStatus(absl::CancelledError(""), "id"), grpc::StatusCode::CANCELLED,
              "CANCELLED", "");
  ExpectError(ToGrpcStatus(absl::DeadlineExceededError(""), "id"),
              grpc::StatusCode::DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "");
}

TEST(StatusMappingTest, MessagesFitIntoMetadata) {
  std::string text;
  while (text.size() < 100'000) text += "ä";
  const grpc::Status status = ToGrpcStatus(
      MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, text, text), "id");
  EXPECT_LE(status.error_message().size(), 1024U);
  EXPECT_LE(status.error_details().size(), 4096U);
  EXPECT_THAT(status.error_message(), HasSubstr("ä..."));
}

TEST(StatusMappingTest, OkIsOk) { EXPECT_TRUE(ToGrpcStatus(absl::OkStatus(), "id").ok()); }

}  // namespace
}  // namespace lamella
