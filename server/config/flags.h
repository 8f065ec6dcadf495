// The command line of lamella-server. The flags themselves are flags.cc's; nobody else reads them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config/server_config.h"

namespace lamella {

struct CommandLine {
  enum class Action { kServe, kPrintHelp, kPrintVersion };
  Action action = Action::kServe;
  ServerConfig config;  // validated if the action is kServe
};

// Understands --name=value, --name value, --switch and --noswitch, with '-' or '_' inside names.
// INVALID_ARGUMENT (INVALID_FLAG) in one line for anything else; what was parsed so far keeps, so
// call it once in a process (tests reset with ResetFlags).
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

struct FlagFact {
  std::string name;  // with dashes, without "--"
  std::string help;
  std::string default_value;  // as it would be written; "" for an empty text
};
// Every flag, in the order of --help.
std::vector<FlagFact> AllFlags();

// One line for each flag: name, what it means, default.
std::string FlagsHelp();

// Back to the defaults.
void ResetFlags();

}  // namespace lamella
