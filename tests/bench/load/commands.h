// The commands of lamella-load. Each reads its own flags and prints a table, or JSON with --json.
#pragma once

#include "absl/status/status.h"

namespace lamella::bench {

absl::Status RunCommand();
absl::Status InterferenceCommand();
absl::Status MakeAdaptersCommand();

}  // namespace lamella::bench
