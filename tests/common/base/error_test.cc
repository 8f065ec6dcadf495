#include "common/base/error.h"

#include "common/base/reasons.h"
#include "gtest/gtest.h"

namespace lamella {
namespace {

TEST(ErrorTest, CarriesCodeReasonAndField) {
  const absl::Status status =
      MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, "sampling.top_p",
                "sampling.top_p must be in (0, 1], got 2");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), "OUT_OF_RANGE");
  EXPECT_EQ(ErrorField(status), "sampling.top_p");
  EXPECT_EQ(ErrorRetryAfter(status), std::nullopt);
}

TEST(ErrorTest, CarriesRetryAfter) {
  const absl::Status status =
      MakeRetryableError(absl::StatusCode::kResourceExhausted, reasons::kQueueFull,
                         "the queue holds 256 requests", absl::Milliseconds(1500));
  EXPECT_EQ(ErrorRetryAfter(status), absl::Milliseconds(1500));
  EXPECT_EQ(ErrorField(status), "");
}

TEST(ErrorTest, PlainStatusHasNoDetails) {
  EXPECT_EQ(ErrorReason(absl::InternalError("x")), "");
  EXPECT_EQ(ErrorReason(absl::OkStatus()), "");
}

}  // namespace
}  // namespace lamella
