#include "tests/bench/random_source.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "server/model/config_presets.h"

namespace lamella::bench {
namespace {

ModelConfig Decoder(Architecture architecture, int32_t vocab, int32_t hidden, int32_t inner,
                    int32_t layers) {
  ModelConfig config = ArchitecturePreset(architecture);
  config.vocab_size = vocab;
  config.hidden_size = hidden;
  config.intermediate_size = inner;
  config.num_layers = layers;
  config.head_dim = 64;
  config.tie_word_embeddings = true;
  config.layers.resize(static_cast<size_t>(layers));
  return config;
}

}  // namespace

absl::StatusOr<ModelConfig> NamedShape(std::string_view name) {
  ModelConfig config;
  if (name == "smollm2-135m") {
    config = Decoder(Architecture::kLlama, 49152, 576, 1536, 30);
    config.num_q_heads = 9;
    config.num_kv_heads = 3;
    config.max_position = 8192;
    for (LayerConfig& layer : config.layers) layer.rope.theta = 100000.0;
  } else if (name == "qwen2.5-0.5b") {
    config = Decoder(Architecture::kQwen2, 151936, 896, 4864, 24);
    config.num_q_heads = 14;
    config.num_kv_heads = 2;
    config.max_position = 32768;
    for (LayerConfig& layer : config.layers) layer.rope.theta = 1000000.0;
  } else if (name == "llama-3.2-1b") {
    config = Decoder(Architecture::kLlama, 128256, 2048, 8192, 16);
    config.num_q_heads = 32;
    config.num_kv_heads = 8;
    config.max_position = 131072;
    for (LayerConfig& layer : config.layers) {
      layer.rope.kind = RopeConfig::Kind::kLlama3;
      layer.rope.theta = 500000.0;
      layer.rope.factor = 32.0;
    }
  } else if (name == "bench-small") {
    config = Decoder(Architecture::kLlama, 4096, 256, 768, 6);
    config.num_q_heads = 4;
    config.num_kv_heads = 2;
    config.max_position = 1024;
  } else {
    return absl::InvalidArgumentError(
        "shape must be smollm2-135m, qwen2.5-0.5b, llama-3.2-1b or bench-small; it is " +
        std::string(name));
  }
  SetScales(config.head_dim, &config);
  return config;
}

RandomSource::RandomSource(ModelConfig config) : config_(std::move(config)) {
  for (const ExpectedTensor& tensor : ExpectedTensors(config_)) {
    tensors_.push_back({tensor.name, tensor.shape, "F32"});
  }
}

absl::Status RandomSource::ReadRows(std::string_view hf_name, int64_t row_begin, int64_t row_end,
                                    float* out) const {
  const auto info = std::find_if(tensors_.begin(), tensors_.end(),
                                 [&](const WeightInfo& one) { return one.name == hf_name; });
  if (info == tensors_.end()) return absl::NotFoundError("no tensor " + std::string(hf_name));
  const int64_t columns = info->columns();
  if (hf_name.find("norm") != std::string_view::npos) {
    std::fill(out, out + (row_end - row_begin) * columns, 1.0F);
    return absl::OkStatus();
  }
  const float limit = 1.7F / std::sqrt(static_cast<float>(columns));
  const auto seed = static_cast<uint32_t>(std::hash<std::string_view>()(hf_name));
  for (int64_t row = row_begin; row < row_end; ++row) {
    uint32_t state = seed ^ (static_cast<uint32_t>(row) * 2654435761U);
    for (int64_t i = 0; i < columns; ++i) {
      state = state * 1664525U + 1013904223U;
      *out++ = limit * (static_cast<float>(state >> 8) * 0x1p-23F - 1.0F);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufTokenizerData> RandomSource::ReadGgufTokenizer() const {
  return absl::FailedPreconditionError("a random model has no tokenizer");
}

absl::StatusOr<HfTokenizerFiles> RandomSource::ReadHfTokenizer() const {
  return absl::FailedPreconditionError("a random model has no tokenizer");
}

}  // namespace lamella::bench
