// ModelConfig from a GGUF file's metadata: architectures llama (Mistral too), qwen2, qwen3 and
// gemma3. Torch-free, stateless.
#pragma once

#include "absl/status/statusor.h"
#include "common/formats/gguf.h"
#include "common/formats/gguf_tokenizer_data.h"
#include "server/model/model_config.h"

namespace lamella {

// UNIMPLEMENTED with UNKNOWN_ARCHITECTURE or UNSUPPORTED_FEATURE, INVALID_ARGUMENT with
// UNKNOWN_CONFIG_KEY, MALFORMED_HEADER (a key is missing or mistyped) or INVALID_CONFIG_VALUE, each
// naming the key. A key of the architecture's own name space that is not known here may change the
// mathematics and is refused. The result passed ValidateModelConfig.
absl::StatusOr<ModelConfig> ParseGgufConfig(const GgufFile& file);

// The vocabulary; lists are checked to agree in length.
absl::StatusOr<GgufTokenizerData> ReadGgufTokenizerData(const GgufFile& file);

}  // namespace lamella
