// The metric label of how a request ended. Pure.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "server/engine/token_stream.h"

namespace lamella {

// "stop_token", "stop_string", "length", or the reason of `error` in lower case; "unknown" for an
// error without a reason.
std::string FinishLabel(const std::optional<ChoiceEnd>& finished, const absl::Status& error);

}  // namespace lamella
