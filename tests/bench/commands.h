// The commands of lamella-bench. Each reads its own flags, measures and prints a table, or JSON
// with
// --json; with --smoke it takes a second or two and its numbers mean nothing.
#pragma once

#include "absl/status/status.h"

namespace lamella::bench {

absl::Status EngineCommand();
absl::Status KernelsCommand();
absl::Status LoadCommand();
absl::Status PlainCommand();
absl::Status RooflineCommand();
absl::Status StallCommand();
absl::Status StoreCommand();
absl::Status ZipfCommand();

}  // namespace lamella::bench
