// The rotary part of a config.json, in the spelling of transformers 4 (rope_theta, rope_scaling,
// rope_local_base_freq) or 5 (rope_parameters). Used by hf_config.cc alone. Torch-free.
#pragma once

#include "absl/status/statusor.h"
#include "server/model/hf_config_reader.h"
#include "server/model/model_config.h"

namespace lamella {

struct RopePair {
  RopeConfig full;   // layers that see every position
  RopeConfig local;  // layers with a sliding window; differs from `full` for gemma only
};

// Refuses kinds other than default, linear and llama3 by name (UNSUPPORTED_FEATURE).
absl::StatusOr<RopePair> ReadHfRope(Architecture architecture, HfConfigReader* reader);

}  // namespace lamella
