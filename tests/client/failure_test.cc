#include <gtest/gtest.h>

#include "client/cli/commands.h"
#include "common/base/error.h"

namespace lamella::cli {
namespace {

TEST(FailureTest, NamesReasonFieldAndWhenToRetry) {
  EXPECT_EQ(Failure(absl::InternalError("broken")), "broken (INTERNAL)");
  EXPECT_EQ(Failure(MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_RANGE", "max_tokens",
                              "max_tokens must be positive")),
            "max_tokens must be positive (OUT_OF_RANGE, max_tokens)");
  EXPECT_EQ(Failure(MakeRetryableError(absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
                                       "256 requests wait", absl::Milliseconds(1500))),
            "256 requests wait (QUEUE_FULL, retry after 1.5s)");
}

}  // namespace
}  // namespace lamella::cli
