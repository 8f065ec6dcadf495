// Small random models in memory: a WeightSource for any ModelConfig, one configuration per family
// with odd head counts, grouped heads and windows, and random adapters.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/kernels/kernel_table.h"
#include "server/lora/adapter_weights.h"
#include "server/model/weight_source.h"

namespace lamella::testing {

class TinySource final : public WeightSource {
 public:
  // Weights depend on `seed` and names alone; every value is exact in bfloat16.
  TinySource(ModelConfig config, uint32_t seed);

  const ModelConfig& config() const override { return config_; }
  const std::vector<WeightInfo>& tensors() const override { return tensors_; }
  absl::Status ReadRows(std::string_view hf_name, int64_t row_begin, int64_t row_end,
                        float* out) const override;
  const std::string& fingerprint() const override { return fingerprint_; }
  TokenizerFormat tokenizer_format() const override { return TokenizerFormat::kGguf; }
  absl::StatusOr<GgufTokenizerData> ReadGgufTokenizer() const override;
  absl::StatusOr<HfTokenizerFiles> ReadHfTokenizer() const override;

  // Whole tensor, row-major.
  const std::vector<float>& values(std::string_view name) const;
  std::vector<float>& mutable_values(std::string_view name);
  void FailReadsOf(std::string name) { failing_ = std::move(name); }

 private:
  ModelConfig config_;
  std::vector<WeightInfo> tensors_;
  std::map<std::string, std::vector<float>, std::less<>> values_;
  std::string fingerprint_ = std::string(64, '0');
  std::string failing_;
};

// Named configurations: "llama", "mistral_window", "qwen2_bias", "qwen3_qk_norm", "gemma3",
// "llama3_rope", "linear_rope_untied".
std::vector<std::string> TinyModelNames();
ModelConfig TinyConfig(std::string_view name);

// A LoRA adapter in plain form: float arrays by module of the BaseSpec; empty where it has none.
struct TinyAdapter {
  struct Module {
    int32_t rank = 0;
    std::vector<float> a;  // float [rank][in]
    std::vector<float> b;  // float [out][rank]
  };
  std::vector<Module> modules;  // as BaseSpec::modules
  float scale = 1.0F;
};

// Ranks differ by module; every third module or so has none.
TinyAdapter MakeTinyAdapter(const BaseSpec& base, uint32_t seed);
std::unique_ptr<const AdapterWeights> PackTinyAdapter(const TinyAdapter& adapter,
                                                      const BaseSpec& base,
                                                      const kernels::KernelTable& table);

std::vector<int32_t> TinyTokens(const ModelConfig& config, int32_t count, uint32_t seed);

}  // namespace lamella::testing
