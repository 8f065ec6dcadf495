// What the configuration says of the executor, in the executor's own words.
#pragma once

#include <string>

#include "server/config/server_config.h"
#include "server/model/cpu_executor.h"

namespace lamella {

CpuExecutorOptions ExecutorOptionsOf(const ServerConfig& config);

// "bf16" or "float32"; "bf16+int8" on a quantized base.
std::string DtypeName(const ModelOptions& options);

}  // namespace lamella
