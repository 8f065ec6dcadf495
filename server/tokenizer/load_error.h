// The two ways in which a tokenizer's file is refused, so that every reader words them alike.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {

// The file asks for something that this build does not have; `what` is its name there.
inline absl::Status UnsupportedTokenizer(std::string_view field, std::string_view what) {
  return MakeError(
      absl::StatusCode::kUnimplemented, reasons::kUnsupportedTokenizer, field,
      absl::StrCat("tokenizer: ", std::string(field), " is not supported: ", std::string(what)));
}

// The file contradicts itself or its own format.
inline absl::Status BadTokenizer(std::string_view field, std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidConfigValue, field,
                   absl::StrCat("tokenizer: ", std::string(field), ": ", std::string(what)));
}

}  // namespace lamella
