// Builds a Tokenizer from a Hugging Face tokenizer.json. Pure; the result owns all it needs.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/tokenizer/tokenizer.h"

namespace lamella {

// What stands beside tokenizer.json: in tokenizer_config.json, config.json or
// generation_config.json.
struct TokenizerOptions {
  std::vector<int32_t> eos_token_ids;  // any of them ends an answer; may be empty
  int32_t bos_token_id = -1;           // -1: none
};

// INVALID_ARGUMENT (MALFORMED_JSON, DUPLICATE_KEY, LIMIT_EXCEEDED, INVALID_CONFIG_VALUE) for a file
// that is wrong; UNIMPLEMENTED (UNSUPPORTED_TOKENIZER), naming the component, for one that asks for
// what this build does not have. Padding and truncation in the file are ignored: a server decides
// on lengths itself.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerJson(std::string_view json,
                                                             const TokenizerOptions& options);

}  // namespace lamella
