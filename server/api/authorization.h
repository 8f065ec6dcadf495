// Who may call what: one table over every method of every service on every listener, deny by
// default. A method is known by its request's message type, which the handlers parse and so cannot
// mistake; methods that share a type share a decision. Pure functions.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "server/api/credentials.h"

namespace lamella {

struct Access {
  bool anyone = false;  // nobody is asked who they are
  Roles roles;          // else: any one of these
};

// To the method that takes `request_type`, such as "lamella.v1.GenerateRequest"; nullopt if nobody
// decided.
std::optional<Access> AccessTo(std::string_view request_type);

// PERMISSION_DENIED unless the caller has one of the roles of AccessTo(request_type).
absl::Status Authorize(const Caller& caller, std::string_view request_type);

}  // namespace lamella
