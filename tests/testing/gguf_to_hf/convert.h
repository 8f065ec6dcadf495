// The Hugging Face folder of a base model that is at hand as a GGUF file only, for tests that need
// a folder: weights rounded to bf16, tokenizer rebuilt from the file's vocabulary. Converts what
// the demo models need (llama with the rule "smollm", gemma3 with a SentencePiece vocabulary) and
// refuses the rest.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace lamella::testing {

// Creates the folder and writes config.json, generation_config.json, model.safetensors,
// tokenizer.json, tokenizer_config.json and, where the file has a template, chat_template.jinja.
absl::Status ConvertGgufToHf(const std::string& gguf, const std::string& out_folder);

}  // namespace lamella::testing
