#include "tests/model/tiny_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

namespace lamella::testing {
namespace {

// Keeps the upper 16 bits: exact in bfloat16.
float Truncate(float value) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xffff0000U);
}

std::vector<float> RandomValues(int64_t count, float center, float spread, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(center - spread, center + spread);
  std::vector<float> values(static_cast<size_t>(count));
  std::generate(values.begin(), values.end(), [&] { return Truncate(uniform(generator)); });
  return values;
}

uint32_t NameSeed(std::string_view name, uint32_t seed) {
  uint32_t hash = 2166136261U ^ seed;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619U;
  return hash;
}

ModelConfig BaseConfig() {
  ModelConfig config;
  config.vocab_size = 67;
  config.hidden_size = 48;
  config.intermediate_size = 80;
  config.num_layers = 3;
  config.num_q_heads = 9;
  config.num_kv_heads = 3;
  config.head_dim = 16;
  config.rms_norm_eps = 1e-5F;
  config.max_position = 256;
  config.tie_word_embeddings = true;
  config.attention_scale = 0.25F;
  config.layers.resize(3);
  config.bos_token_id = 1;
  config.eos_token_ids = {2};
  return config;
}

ModelConfig Gemma3() {
  ModelConfig config = BaseConfig();
  config.architecture = Architecture::kGemma3;
  config.num_q_heads = 4;
  config.num_kv_heads = 1;
  config.head_dim = 32;
  config.qk_norm = config.post_norms = config.norm_plus_one = true;
  config.activation = Activation::kGeluTanh;
  config.embedding_scale = std::sqrt(48.0F);
  config.attention_scale = 0.1875F;
  config.rms_norm_eps = 1e-6F;
  for (LayerConfig& layer : config.layers) layer.sliding_window = 20;
  config.layers.back().sliding_window = 0;
  config.layers.back().rope.theta = 1e6;
  return config;
}

ModelConfig Qwen2() {
  ModelConfig config = BaseConfig();
  config.architecture = Architecture::kQwen2;
  config.qkv_bias = true;
  config.tie_word_embeddings = false;
  config.num_q_heads = 7;
  config.num_kv_heads = 1;
  return config;
}

ModelConfig Qwen3() {
  ModelConfig config = BaseConfig();
  config.architecture = Architecture::kQwen3;
  config.qk_norm = true;
  config.num_q_heads = 6;
  config.num_kv_heads = 2;
  for (LayerConfig& layer : config.layers) layer.rope.theta = 1e6;
  return config;
}

ModelConfig Llama3Rope() {
  ModelConfig config = BaseConfig();
  for (LayerConfig& layer : config.layers) {
    layer.rope.kind = RopeConfig::Kind::kLlama3;
    layer.rope.theta = 500000.0;
    layer.rope.factor = 8.0;
    layer.rope.low_freq_factor = 1.0;
    layer.rope.high_freq_factor = 4.0;
    layer.rope.original_max_position = 64;
  }
  return config;
}

}  // namespace

std::vector<std::string> TinyModelNames() {
  return {"llama",  "mistral_window", "qwen2_bias",        "qwen3_qk_norm",
          "gemma3", "llama3_rope",    "linear_rope_untied"};
}

ModelConfig TinyConfig(std::string_view name) {
  if (name == "gemma3") return Gemma3();
  if (name == "qwen2_bias") return Qwen2();
  if (name == "qwen3_qk_norm") return Qwen3();
  if (name == "llama3_rope") return Llama3Rope();
  ModelConfig config = BaseConfig();
  if (name == "mistral_window") {
    config.architecture = Architecture::kMistral;
    for (LayerConfig& layer : config.layers) layer.sliding_window = 17;
  }
  if (name == "linear_rope_untied") {
    config.tie_word_embeddings = false;
    for (LayerConfig& layer : config.layers) {
      layer.rope.kind = RopeConfig::Kind::kLinear;
      layer.rope.factor = 4.0;
    }
  }
  return config;
}

TinySource::TinySource(ModelConfig config, uint32_t seed) : config_(std::move(config)) {
  for (const ExpectedTensor& tensor : ExpectedTensors(config_)) {
    tensors_.push_back({tensor.name, tensor.shape, "F32"});
    const WeightInfo& info = tensors_.back();
    const bool is_norm = info.name.find("norm") != std::string::npos;
    const bool is_bias = info.name.ends_with(".bias");
    const float spread =
        is_norm || is_bias ? 0.4F : 1.7F / std::sqrt(static_cast<float>(info.columns()));
    values_[info.name] = RandomValues(info.rows() * info.columns(), is_norm ? 1.0F : 0.0F, spread,
                                      NameSeed(info.name, seed));
  }
}

const std::vector<float>& TinySource::values(std::string_view name) const {
  return values_.find(name)->second;
}

std::vector<float>& TinySource::mutable_values(std::string_view name) {
  return values_.find(name)->second;
}

absl::Status TinySource::ReadRows(std::string_view hf_name, int64_t row_begin, int64_t row_end,
                                  float* out) const {
  const auto found = values_.find(hf_name);
  if (found == values_.end() || hf_name == failing_) {
    return absl::NotFoundError("no tensor " + std::string(hf_name));
  }
  const auto info = std::find_if(tensors_.begin(), tensors_.end(),
                                 [&](const WeightInfo& one) { return one.name == hf_name; });
  const int64_t columns = info->columns();
  std::copy(found->second.begin() + row_begin * columns, found->second.begin() + row_end * columns,
            out);
  return absl::OkStatus();
}

absl::StatusOr<GgufTokenizerData> TinySource::ReadGgufTokenizer() const {
  return absl::FailedPreconditionError("a tiny model has no tokenizer");
}

absl::StatusOr<HfTokenizerFiles> TinySource::ReadHfTokenizer() const {
  return absl::FailedPreconditionError("a tiny model has no tokenizer");
}

TinyAdapter MakeTinyAdapter(const BaseSpec& base, uint32_t seed) {
  std::mt19937 generator(seed);
  TinyAdapter adapter;
  adapter.scale = 0.5F + static_cast<float>(generator() % 4) * 0.25F;
  for (const BaseModule& module : base.modules) {
    TinyAdapter::Module one;
    const uint32_t draw = generator() % 6;
    if (draw >= 2) {
      one.rank = static_cast<int32_t>(draw * draw + generator() % 3);
      one.a = RandomValues(one.rank * module.in_features, 0.0F,
                           1.7F / std::sqrt(static_cast<float>(module.in_features)), generator());
      one.b = RandomValues(one.rank * module.out_features, 0.0F,
                           1.0F / std::sqrt(static_cast<float>(one.rank)), generator());
    }
    adapter.modules.push_back(std::move(one));
  }
  return adapter;
}

std::unique_ptr<const AdapterWeights> PackTinyAdapter(const TinyAdapter& adapter,
                                                      const BaseSpec& base,
                                                      const kernels::KernelTable& table) {
  std::vector<LoraModuleShape> shapes;
  std::vector<const TinyAdapter::Module*> present;
  for (size_t i = 0; i < base.modules.size(); ++i) {
    const BaseModule& module = base.modules[i];
    const TinyAdapter::Module& one = adapter.modules[i];
    if (one.rank == 0) continue;
    shapes.push_back({module.layer, module.kind, one.rank, module.in_features, module.out_features,
                      adapter.scale});
    present.push_back(&one);
  }
  AdapterWeightsBuilder builder(AdapterRef{"t", "a", "v"}, base.num_layers(), shapes, table);
  for (size_t i = 0; i < present.size(); ++i) {
    builder.Pack(i, present[i]->a.data(), present[i]->b.data());
  }
  return std::move(builder).Finish();
}

std::vector<int32_t> TinyTokens(const ModelConfig& config, int32_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::generate(tokens.begin(), tokens.end(), [&] {
    return static_cast<int32_t>(generator() % static_cast<uint32_t>(config.vocab_size));
  });
  return tokens;
}

}  // namespace lamella::testing
