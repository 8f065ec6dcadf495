// Which tensors a configuration implies, under their Hugging Face names. Pure functions over
// ModelConfig; torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "server/model/model_config.h"

namespace lamella {

// {out_features, in_features} of one of the seven linears.
std::pair<int64_t, int64_t> ModuleShape(const ModelConfig& config, ModuleKind kind);

}  // namespace lamella
