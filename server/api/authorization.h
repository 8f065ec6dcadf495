// What each role may call: one table over every method of both services, deny by default. A method
// is known by its request's message type, which the handlers parse and so cannot mistake. Pure
// functions.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "server/api/credentials.h"

namespace lamella {

// Any one of these may call the method that takes `request_type`, such as
// "lamella.v1.GenerateRequest"; nullopt if nobody decided.
std::optional<Roles> RolesFor(std::string_view request_type);

// PERMISSION_DENIED unless the caller has one of RolesFor(request_type).
absl::Status Authorize(const Caller& caller, std::string_view request_type);

}  // namespace lamella
