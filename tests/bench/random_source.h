// A base model of a named shape with random weights: for speed, where a file would say nothing
// more.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/weight_source.h"

namespace lamella::bench {

// "smollm2-135m", "qwen2.5-0.5b", "llama-3.2-1b", "bench-small" (a step takes a few milliseconds).
// INVALID_ARGUMENT for another name.
absl::StatusOr<ModelConfig> NamedShape(std::string_view name);

// Values are a function of name and row, made anew on every read.
class RandomSource final : public WeightSource {
 public:
  explicit RandomSource(ModelConfig config);

  const ModelConfig& config() const override { return config_; }
  const std::vector<WeightInfo>& tensors() const override { return tensors_; }
  absl::Status ReadRows(std::string_view hf_name, int64_t row_begin, int64_t row_end,
                        float* out) const override;
  const std::string& fingerprint() const override { return fingerprint_; }
  TokenizerFormat tokenizer_format() const override { return TokenizerFormat::kGguf; }
  absl::StatusOr<GgufTokenizerData> ReadGgufTokenizer() const override;
  absl::StatusOr<HfTokenizerFiles> ReadHfTokenizer() const override;

 private:
  ModelConfig config_;
  std::vector<WeightInfo> tensors_;
  std::string fingerprint_ = std::string(64, '0');
};

}  // namespace lamella::bench
