// lamella-load run|interference|make-adapters [--server=HOST:PORT] [--admin=HOST:PORT] [flags]
//
// Load on a server that runs, over gRPC. The head of X_command.cc says what X measures and how;
// make-adapters uploads what the others ask for: --adapters=N of --ranks=8,16 for the base in
// --model.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/numbers.h"
#include "tests/bench/load/commands.h"
#include "tests/bench/load/make_adapters.h"

ABSL_FLAG(std::string, server, "127.0.0.1:50051", "HOST:PORT");
ABSL_FLAG(std::string, admin, "127.0.0.1:50052", "HOST:PORT of the admin listener");
ABSL_FLAG(std::string, key, "", "of a credential");
ABSL_FLAG(int32_t, adapters, 0, "so many adapters; 0: the base model alone");
ABSL_FLAG(std::string, adapter_prefix, "load-", "of their names, which end in a number from 0 on");
ABSL_FLAG(std::string, model, "", "the base that is served: a GGUF file or a Hugging Face folder");
ABSL_FLAG(std::vector<std::string>, ranks, {"16"}, "of the adapters that are made, in turn");
ABSL_FLAG(uint64_t, seed, 1, "of everything that is drawn");
ABSL_FLAG(bool, json, false, "print JSON");

namespace lamella::bench {

absl::Status MakeAdaptersCommand() {
  MakeAdaptersOptions options;
  options.admin = absl::GetFlag(FLAGS_admin);
  options.key = absl::GetFlag(FLAGS_key);
  options.model = absl::GetFlag(FLAGS_model);
  options.prefix = absl::GetFlag(FLAGS_adapter_prefix);
  options.count = absl::GetFlag(FLAGS_adapters);
  options.ranks.clear();
  for (const std::string& text : absl::GetFlag(FLAGS_ranks)) {
    int32_t rank = 0;
    if (!absl::SimpleAtoi(text, &rank) || rank < 1) {
      return absl::InvalidArgumentError("--ranks must be positive numbers");
    }
    options.ranks.push_back(rank);
  }
  if (options.ranks.empty()) return absl::InvalidArgumentError("--ranks is empty");
  return MakeAdapters(options);
}

}  // namespace lamella::bench

int main(int argc, char** argv) {
  const std::map<std::string, absl::Status (*)()> commands = {
      {"run", lamella::bench::RunCommand},
      {"interference", lamella::bench::InterferenceCommand},
      {"make-adapters", lamella::bench::MakeAdaptersCommand}};
  absl::SetProgramUsageMessage("lamella-load run|interference|make-adapters [flags]");
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  const auto command = arguments.size() == 2 ? commands.find(arguments[1]) : commands.end();
  if (command == commands.end()) {
    std::fprintf(
        stderr,
        "usage: lamella-load run|interference|make-adapters [flags]; --help lists the flags\n");
    return 2;
  }
  const absl::Status status = command->second();
  if (status.ok()) return 0;
  std::fprintf(stderr, "lamella-load: %s\n", status.ToString().c_str());
  return 1;
}
