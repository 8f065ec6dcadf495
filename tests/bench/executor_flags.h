// The flags of the commands that compute: threads, instruction set, dtypes, precision.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "server/model/cpu_executor.h"

namespace lamella::bench {

int32_t ThreadsFromFlags();

// Those of the options that have a flag, threads included. INVALID_ARGUMENT names the flag and what it may be.
absl::StatusOr<CpuExecutorOptions> ExecutorOptionsFromFlags();

}  // namespace lamella::bench
