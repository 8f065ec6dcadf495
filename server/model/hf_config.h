// ModelConfig from a Hugging Face config.json: LlamaForCausalLM, MistralForCausalLM,
// Qwen2ForCausalLM, Qwen3ForCausalLM and Gemma3ForCausalLM, as transformers 4 and 5 write them.
// Torch-free, stateless.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/model_config.h"

namespace lamella {

// UNIMPLEMENTED with UNKNOWN_ARCHITECTURE or UNSUPPORTED_FEATURE; INVALID_ARGUMENT with
// MALFORMED_JSON, DUPLICATE_KEY, UNKNOWN_CONFIG_KEY or INVALID_CONFIG_VALUE; each names the key. A
// key that is neither understood nor known to be harmless is refused unless its value is null: it
// may change the mathematics. Absent keys mean what they mean to transformers. The result passed
// ValidateModelConfig.
absl::StatusOr<ModelConfig> ParseHfConfig(std::string_view config_json);

// Takes the tokens that end a text from generation_config.json, if it names some: there they win
// over config.json's, as in transformers' generate. All else in that file is a client's choice.
absl::Status ApplyGenerationConfig(std::string_view generation_config_json, ModelConfig* config);

}  // namespace lamella
