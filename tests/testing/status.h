// Assertions on errors: code, reason and field together, as a client sees them.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/error.h"
#include "gtest/gtest.h"

namespace lamella::testing {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

// EXPECT_TRUE(IsError(result, absl::StatusCode::kNotFound, reasons::kAdapterNotFound, "adapter_id",
//                     "part of the message"));
template <typename Result>
::testing::AssertionResult IsError(const Result& result, absl::StatusCode code,
                                   std::string_view reason, std::string_view field = "",
                                   std::string_view message_part = "") {
  const absl::Status& status = StatusOf(result);
  if (status.code() == code && ErrorReason(status) == reason && ErrorField(status) == field &&
      std::string(status.message()).find(message_part) != std::string::npos) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure()
         << "expected " << absl::StatusCodeToString(code) << " " << reason << " [" << field
         << "] \"" << message_part << "\", got " << absl::StatusCodeToString(status.code()) << " "
         << ErrorReason(status) << " [" << ErrorField(status) << "] \""
         << std::string(status.message()) << "\"";
}

template <typename Result>
::testing::AssertionResult IsInvalid(const Result& result, std::string_view reason,
                                     std::string_view field = "",
                                     std::string_view message_part = "") {
  return IsError(result, absl::StatusCode::kInvalidArgument, reason, field, message_part);
}

template <typename Result>
::testing::AssertionResult IsOk(const Result& result) {
  const absl::Status& status = StatusOf(result);
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << status.ToString();
}

}  // namespace lamella::testing
