// Reads the small components of a tokenizer.json into the parts that do their work. What this build
// does not have is refused by its name in the file: a tokenizer that is nearly right is wrong.
#pragma once

#include "absl/status/status.h"
#include "common/formats/json.h"
#include "server/tokenizer/bpe_tokenizer.h"

namespace lamella {

// All of them: UNIMPLEMENTED (UNSUPPORTED_TOKENIZER) or INVALID_ARGUMENT (INVALID_CONFIG_VALUE).
// A null node (or pointer) means that the component is absent.
absl::Status ReadNormalizer(const JsonValue* node, Normalizer* normalizer);
absl::Status ReadPreTokenizer(const JsonValue* node, PreTokenizer* pre_tokenizer, bool* byte_level);
absl::Status ReadPostProcessor(const JsonValue* node, BpeTokenizerParts* parts);
absl::Status ReadDecoder(const JsonValue* node, DecoderOptions* decoder);

}  // namespace lamella
