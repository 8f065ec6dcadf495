// The port through which a base model's weights, configuration and tokenizer files come in: a
// GGUF file (GgufSource) or a Hugging Face folder (HfSource). Whatever the file's habits, tensors
// have Hugging Face names and shapes, values are fp32 and effective: q and k rows are in the
// half-split order of rotary pairs and gemma's norm weights are already 1 + w. Tied models have no
// lm_head.weight. Not a cache: every read decodes again from the mapped file. Immutable after
// opening: all methods are const and thread-safe. Torch-free. The opener owns it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/formats/gguf_tokenizer_data.h"
#include "server/model/model_config.h"

namespace lamella {

struct WeightInfo {
  std::string name;            // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // {rows, columns} or {columns}; e.g. {576, 576}, {576}
  std::string dtype;           // as stored: "BF16", "F32", "Q4_1", ...

  // A 1-D tensor counts as one row.
  int64_t rows() const { return shape.size() < 2 ? 1 : shape.front(); }
  int64_t columns() const { return shape.empty() ? 0 : shape.back(); }
};

// The text of a Hugging Face folder's files; empty where the folder has none.
struct HfTokenizerFiles {
  std::string tokenizer_json;
  std::string tokenizer_config_json;
  std::string generation_config_json;
  std::string chat_template;  // chat_template.jinja; else look into tokenizer_config_json
};

enum class TokenizerFormat { kGguf, kHuggingFace };

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  virtual const ModelConfig& config() const = 0;

  // Exactly the tensors of ExpectedTensors(config()), in its order, with the stored dtypes.
  virtual const std::vector<WeightInfo>& tensors() const = 0;

  // Writes rows [row_begin, row_end) of `hf_name`, row-major, to `out`:
  // (row_end - row_begin) * columns floats. NOT_FOUND (MISSING_TENSOR) for a name that is not in
  // tensors(), OUT_OF_RANGE (OUT_OF_RANGE) for rows that the tensor does not have.
  virtual absl::Status ReadRows(std::string_view hf_name, int64_t row_begin, int64_t row_end,
                                float* out) const = 0;

  // 64 lowercase hex digits; see base_fingerprint.h.
  virtual const std::string& fingerprint() const = 0;

  // Which of the two readers below answers; the other returns FAILED_PRECONDITION. Both read the
  // files again and return by value: a vocabulary is large and needed once.
  virtual TokenizerFormat tokenizer_format() const = 0;
  virtual absl::StatusOr<GgufTokenizerData> ReadGgufTokenizer() const = 0;
  virtual absl::StatusOr<HfTokenizerFiles> ReadHfTokenizer() const = 0;
};

// Opens a *.gguf file or a Hugging Face folder, by what `path` is. Everything is checked here
// (sizes, offsets, names, shapes, types), so a later read can only fail by its arguments.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenWeightSource(const std::string& path);

}  // namespace lamella
