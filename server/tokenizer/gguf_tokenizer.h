// Builds a Tokenizer from the vocabulary in a GGUF file: "gpt2" is byte-level BPE with its list of
// merges and one of the known ways to cut words, "llama" is BPE by scores with byte fallback. Ids
// and text are those of the tokenizer.json of the same model. Pure; the result owns all it needs.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/formats/gguf_tokenizer_data.h"
#include "server/tokenizer/tokenizer.h"

namespace lamella {

// UNIMPLEMENTED (UNSUPPORTED_TOKENIZER) names a model or a pre-tokenizer that is not known;
// INVALID_ARGUMENT (INVALID_CONFIG_VALUE) if the arrays do not fit together.
absl::StatusOr<std::unique_ptr<Tokenizer>> TokenizerFromGguf(const GgufTokenizerData& data);

}  // namespace lamella
