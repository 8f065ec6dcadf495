// lamella-bench COMMAND [--rounds=5] [--json] [--smoke] [flags of the command]
//
// Measurements in process, without gRPC; the head of X_command.cc says what X measures and how.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "tests/bench/commands.h"

ABSL_FLAG(int32_t, rounds, 5, "measurements of each figure, interleaved; the median is printed");
ABSL_FLAG(bool, json, false, "print JSON");
ABSL_FLAG(bool, smoke, false, "a second's run that only shows that everything works");

int main(int argc, char** argv) {
  const std::map<std::string, absl::Status (*)()> commands = {
      {"engine", lamella::bench::EngineCommand},     {"kernels", lamella::bench::KernelsCommand},
      {"load", lamella::bench::LoadCommand},         {"plain", lamella::bench::PlainCommand},
      {"roofline", lamella::bench::RooflineCommand}, {"stall", lamella::bench::StallCommand},
      {"store", lamella::bench::StoreCommand},       {"zipf", lamella::bench::ZipfCommand}};
  std::string usage = "lamella-bench ";
  for (const auto& [name, run] : commands) {
    usage += name + (name == commands.rbegin()->first ? " [flags]" : "|");
  }
  absl::SetProgramUsageMessage(usage);
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  const auto command = arguments.size() == 2 ? commands.find(arguments[1]) : commands.end();
  if (command == commands.end() || absl::GetFlag(FLAGS_rounds) < 1) {
    std::fprintf(stderr, "usage: %s; --help lists them\n", usage.c_str());
    return 2;
  }
  const absl::Status status = command->second();
  if (status.ok()) return 0;
  std::fprintf(stderr, "lamella-bench: %s\n", status.ToString().c_str());
  return 1;
}
