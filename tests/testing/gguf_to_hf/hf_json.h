// The JSON files of a Hugging Face folder, rebuilt from what a GGUF file holds.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "common/formats/gguf_tokenizer_data.h"
#include "server/model/model_config.h"

namespace lamella::testing {

using Json = nlohmann::ordered_json;

// config.json: llama and gemma3 only.
absl::StatusOr<Json> ConfigJson(const ModelConfig& config, const GgufTokenizerData& vocabulary);

// generation_config.json.
Json GenerationJson(const ModelConfig& config, const GgufTokenizerData& vocabulary);

// tokenizer.json: SentencePiece vocabularies ("llama") and byte-level BPE with the rule "smollm".
absl::StatusOr<Json> TokenizerJson(const GgufTokenizerData& vocabulary);

// tokenizer_config.json. `tokenizer` is what TokenizerJson returned.
Json TokenizerConfigJson(const ModelConfig& config, const GgufTokenizerData& vocabulary,
                         const Json& tokenizer);

}  // namespace lamella::testing
