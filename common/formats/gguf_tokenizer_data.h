// The vocabulary that a GGUF file carries in its metadata, as it stands there: nothing is
// interpreted beyond types. A plain value; it owns its strings. `tokenizer` builds a Tokenizer from
// it, so that neither room needs to know the other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lamella {

// tokenizer.ggml.token_type.
enum class GgufTokenType : int32_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,      // special: never produced from plain text
  kUserDefined = 4,  // matched whole before the merges; blanks are written as blanks, not U+2581
  kUnused = 5,
  kByte = 6,  // "<0x0A>"
};

struct GgufTokenizerData {
  std::string model;                // tokenizer.ggml.model: "gpt2" (byte-level) or "llama"
  std::string pre;                  // tokenizer.ggml.pre: "smollm", "qwen2", ...; may be empty
  std::vector<std::string> tokens;  // [vocab], index = id
  std::vector<float> scores;        // [vocab] or empty; SPM ranks merges by it
  std::vector<GgufTokenType> token_types;  // [vocab]; all kNormal if the file has none
  std::vector<std::string> merges;         // "left right", best first; empty for SPM
  int32_t bos_id = -1;                     // -1: the file names none
  int32_t eos_id = -1;
  int32_t eot_id = -1;
  int32_t unk_id = -1;
  int32_t pad_id = -1;
  bool add_bos = false;  // as the file says, else true for "llama" and false for "gpt2"
  bool add_eos = false;
  bool add_space_prefix = false;  // as the file says, else true for "llama"
  std::string chat_template;      // Jinja source; empty if the file has none
};

}  // namespace lamella
