// The commands of `lamella`. Each adds its sub-command to the parser; the returned function runs it
// and gives the exit code.
#pragma once

#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "client/admin_client.h"
#include "client/client.h"

namespace lamella::cli {

// Documented in `lamella --help`: scripts may rely on them.
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,       // the server refused or failed the request
  kUsage = 2,        // the command line or an input file is wrong
  kUnavailable = 3,  // no server answered, or it is draining
};

struct CommonOptions {
  std::string server = "127.0.0.1:50051";
  std::string admin = "127.0.0.1:50052";
  std::string tenant = "-";     // whose adapters the admin commands mean
  std::string token_file;       // with the key; "": none is sent
  std::string key;              // what it held
  client::TlsOptions tls;       // of both listeners
  double timeout_seconds = 0;   // 0: none
  std::string output = "text";  // "text" or "json"

  absl::Duration timeout() const {
    return timeout_seconds > 0 ? absl::Seconds(timeout_seconds) : absl::InfiniteDuration();
  }
  bool json() const { return output == "json"; }
};

using Command = std::function<int(client::Client*)>;

// Registers a sub-command's run function when it is parsed.
struct Registry {
  CLI::App* app = nullptr;
  const CommonOptions* common = nullptr;
  Command* chosen = nullptr;
};

void AddGenerate(const Registry& registry);
void AddModels(const Registry& registry);
void AddAdapters(const Registry& registry);
void AddTokenize(const Registry& registry);
void AddStore(const Registry& registry);
void AddKeys(const Registry& registry);
void AddUsage(const Registry& registry);

// What the program exits with after `status`.
int ExitCodeOf(const absl::Status& status);

// Below `adapters`.
void AddUpload(CLI::App* adapters, const Registry& registry);
void AddUsable(CLI::App* adapters, const Registry& registry);

// Chooses a command that talks to the admin listener.
using AdminCommand = std::function<int(client::AdminClient*)>;
void ChooseAdmin(const Registry& registry, AdminCommand command);

// Reads `common->token_file` into `common->key`; false, with a message on stderr, if it cannot.
bool ReadKey(CommonOptions* common);

// "message (REASON, field, retry after 1.5s)", without what the status has not.
std::string Failure(const absl::Status& status);
// Prints "lamella: " and Failure() to stderr and gives the exit code.
int Fail(const absl::Status& status);

}  // namespace lamella::cli
