#include "server/model/gguf_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/gguf_dequant.h"
#include "server/model/config_presets.h"

namespace lamella {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();

absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }

absl::Status Unsupported(std::string_view key, std::string_view value) {
  return MakeError(absl::StatusCode::kUnimplemented, reasons::kUnsupportedFeature, key,
                   absl::StrCat("GGUF: ", ToAbsl(key), " = ", ToAbsl(value), " is not supported"));
}

absl::StatusOr<Architecture> ParseArchitecture(std::string_view name) {
  if (name == "llama") return Architecture::kLlama;
  if (name == "qwen2") return Architecture::kQwen2;
  if (name == "qwen3") return Architecture::kQwen3;
  if (name == "gemma3") return Architecture::kGemma3;
  return MakeError(absl::StatusCode::kUnimplemented, reasons::kUnknownArchitecture,
                   "general.architecture",
                   absl::StrCat("GGUF: general.architecture ", ToAbsl(name),
                                " is not supported: llama, qwen2, qwen3 and gemma3 are"));
}

// Keys below "<architecture>." that are read here or do not touch the mathematics.
constexpr std::array kKnownKeys = {
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.value_length",
    "attn_logit_softcapping",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_count",
    "expert_used_count",
    "feed_forward_length",
    "final_logit_softcapping",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "tensor_data_layout",
    "vocab_size",
};

class Parser {
 public:
  Parser(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  absl::StatusOr<ModelConfig> Run(Architecture architecture);

 private:
  std::string Key(std::string_view name) const { return absl::StrCat(prefix_, ".", ToAbsl(name)); }
  bool Has(std::string_view name) const { return file_.Has(Key(name)); }
  absl::StatusOr<int32_t> Int(std::string_view name) const {
    ASSIGN_OR_RETURN(const int64_t value, file_.GetInt(Key(name), 1, kMaxInt));
    return static_cast<int32_t>(value);
  }
  absl::StatusOr<int32_t> IntOr(std::string_view name, int32_t otherwise) const {
    if (!Has(name)) return otherwise;
    return Int(name);
  }
  absl::StatusOr<double> FloatOr(std::string_view name, double otherwise) const {
    if (!Has(name)) return otherwise;
    return file_.GetFloat(Key(name));
  }
  // Refuses the key unless it is absent or equals `harmless`.
  absl::Status OnlyInt(std::string_view name, int64_t harmless) const;

  absl::Status RefuseUnknownKeys() const;
  absl::Status RefuseFeatures() const;
  absl::Status ReadSizes(ModelConfig* config) const;
  absl::Status ReadVocabulary(ModelConfig* config) const;
  absl::StatusOr<RopeConfig> ReadRope(const ModelConfig& config) const;
  absl::Status ReadLayers(ModelConfig* config) const;
  absl::Status ReadTokens(ModelConfig* config) const;

  const GgufFile& file_;
  std::string prefix_;
};

absl::Status Parser::OnlyInt(std::string_view name, int64_t harmless) const {
  if (!Has(name)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t value, file_.GetInt(Key(name), 0, kMaxInt));
  if (value == harmless) return absl::OkStatus();
  return Unsupported(Key(name), absl::StrCat(value));
}

absl::Status Parser::RefuseUnknownKeys() const {
  const std::string space = prefix_ + ".";
  for (auto it = file_.values().lower_bound(space);
       it != file_.values().end() && it->first.starts_with(space); ++it) {
    const std::string_view name = std::string_view(it->first).substr(space.size());
    if (std::find(kKnownKeys.begin(), kKnownKeys.end(), name) != kKnownKeys.end()) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kUnknownConfigKey, it->first,
                     absl::StrCat("GGUF: metadata key ", it->first, " is not known"));
  }
  return absl::OkStatus();
}

absl::Status Parser::RefuseFeatures() const {
  RETURN_IF_ERROR(OnlyInt("expert_count", 0));
  RETURN_IF_ERROR(OnlyInt("expert_used_count", 0));
  for (const char* name : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    ASSIGN_OR_RETURN(const double value, FloatOr(name, 0.0));
    if (value != 0.0) return Unsupported(Key(name), absl::StrCat(value));
  }
  ASSIGN_OR_RETURN(const double attention_factor, FloatOr("rope.scaling.attn_factor", 1.0));
  if (attention_factor != 1.0) {
    return Unsupported(Key("rope.scaling.attn_factor"), absl::StrCat(attention_factor));
  }
  if (file_.Has("split.count")) {
    ASSIGN_OR_RETURN(const int64_t count, file_.GetInt("split.count", 0, kMaxInt));
    if (count > 1) return Unsupported("split.count", absl::StrCat(count));
  }
  return absl::OkStatus();
}

absl::Status Parser::ReadSizes(ModelConfig* config) const {
  ASSIGN_OR_RETURN(config->num_layers, Int("block_count"));
  ASSIGN_OR_RETURN(config->max_position, Int("context_length"));
  ASSIGN_OR_RETURN(config->hidden_size, Int("embedding_length"));
  ASSIGN_OR_RETURN(config->intermediate_size, Int("feed_forward_length"));
  ASSIGN_OR_RETURN(config->num_q_heads, Int("attention.head_count"));
  ASSIGN_OR_RETURN(config->num_kv_heads, IntOr("attention.head_count_kv", config->num_q_heads));
  ASSIGN_OR_RETURN(config->head_dim,
                   IntOr("attention.key_length", config->hidden_size / config->num_q_heads));
  RETURN_IF_ERROR(OnlyInt("attention.value_length", config->head_dim));
  RETURN_IF_ERROR(OnlyInt("rope.dimension_count", config->head_dim));
  ASSIGN_OR_RETURN(const double epsilon, file_.GetFloat(Key("attention.layer_norm_rms_epsilon")));
  config->rms_norm_eps = static_cast<float>(epsilon);
  return absl::OkStatus();
}

// The embedding's rows count: a vocabulary may be padded beyond its tokens.
absl::Status Parser::ReadVocabulary(ModelConfig* config) const {
  const GgufTensor* embedding = file_.FindTensor("token_embd.weight");
  if (embedding == nullptr) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMissingTensor,
                     "token_embd.weight", "GGUF: tensor token_embd.weight is missing");
  }
  config->vocab_size = static_cast<int32_t>(std::min(embedding->rows(), kMaxInt));
  RETURN_IF_ERROR(OnlyInt("vocab_size", config->vocab_size));
  config->tie_word_embeddings = file_.FindTensor("output.weight") == nullptr;
  return absl::OkStatus();
}

absl::StatusOr<RopeConfig> Parser::ReadRope(const ModelConfig& config) const {
  RopeConfig rope;
  ASSIGN_OR_RETURN(rope.theta, FloatOr("rope.freq_base", 10000.0));
  ASSIGN_OR_RETURN(const double factor, FloatOr("rope.scaling.factor", 1.0));
  std::string_view type = Has("rope.scaling.factor") ? "linear" : "none";
  if (Has("rope.scaling.type")) {
    ASSIGN_OR_RETURN(type, file_.GetString(Key("rope.scaling.type")));
  }
  if (type == "linear") {
    rope.kind = RopeConfig::Kind::kLinear;
    rope.factor = factor;
  } else if (type != "none") {
    return Unsupported(Key("rope.scaling.type"), type);
  }
  // Converters write Llama 3's scaling as one divisor for each pair.
  if (const GgufTensor* factors = file_.FindTensor("rope_freqs.weight"); factors != nullptr) {
    if (rope.kind != RopeConfig::Kind::kDefault || factors->rows() != 1 ||
        factors->columns() != config.head_dim / 2) {
      return Unsupported("rope_freqs.weight",
                         absl::StrCat(factors->columns(), " values beside scaling ", ToAbsl(type)));
    }
    rope.kind = RopeConfig::Kind::kFactors;
    rope.freq_factors.resize(static_cast<size_t>(factors->columns()));
    DequantizeRows(*factors, 0, 1, rope.freq_factors.data());
  }
  return rope;
}

absl::Status Parser::ReadLayers(ModelConfig* config) const {
  ASSIGN_OR_RETURN(const RopeConfig rope, ReadRope(*config));
  int32_t window = 0;
  if (Has("attention.sliding_window")) {
    ASSIGN_OR_RETURN(const int64_t value,
                     file_.GetInt(Key("attention.sliding_window"), 0, kMaxInt));
    window = static_cast<int32_t>(value);
  }
  config->layers.assign(static_cast<size_t>(config->num_layers), LayerConfig{window, rope});
  if (config->architecture != Architecture::kGemma3) {
    for (const char* name : {"attention.sliding_window_pattern", "rope.freq_base_swa"}) {
      if (Has(name)) return Unsupported(Key(name), "a value");
    }
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int32_t pattern,
                   IntOr("attention.sliding_window_pattern", kGemmaLayerPattern));
  RopeConfig local;
  ASSIGN_OR_RETURN(local.theta, FloatOr("rope.freq_base_swa", kGemmaLocalRopeTheta));
  for (size_t i = 0; i < config->layers.size(); ++i) {
    const bool full = (i + 1) % static_cast<size_t>(pattern) == 0;
    config->layers[i] = full ? LayerConfig{0, rope} : LayerConfig{window, local};
  }
  return absl::OkStatus();
}

absl::Status Parser::ReadTokens(ModelConfig* config) const {
  if (file_.Has("tokenizer.ggml.bos_token_id")) {
    ASSIGN_OR_RETURN(const int64_t id, file_.GetInt("tokenizer.ggml.bos_token_id", 0, kMaxInt));
    config->bos_token_id = static_cast<int32_t>(id);
  }
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    if (!file_.Has(key)) continue;
    ASSIGN_OR_RETURN(const int64_t value, file_.GetInt(key, 0, kMaxInt));
    const auto id = static_cast<int32_t>(value);
    auto& ids = config->eos_token_ids;
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelConfig> Parser::Run(Architecture architecture) {
  ModelConfig config = ArchitecturePreset(architecture);
  RETURN_IF_ERROR(RefuseUnknownKeys());
  RETURN_IF_ERROR(RefuseFeatures());
  RETURN_IF_ERROR(ReadSizes(&config));
  RETURN_IF_ERROR(ReadVocabulary(&config));
  // Sizes are checked before layers are built from them.
  RETURN_IF_ERROR(ValidateModelSizes(config));
  // llama.cpp: gemma-3-27b, told by its 62 layers, scales by hidden_size / heads; the file does not
  // say so.
  const bool gemma_27b = architecture == Architecture::kGemma3 && config.num_layers == 62;
  SetScales(gemma_27b ? double(config.hidden_size) / config.num_q_heads : config.head_dim, &config);
  RETURN_IF_ERROR(ReadLayers(&config));
  RETURN_IF_ERROR(ReadTokens(&config));
  RETURN_IF_ERROR(ValidateModelConfig(config));
  return config;
}

}  // namespace

absl::StatusOr<ModelConfig> ParseGgufConfig(const GgufFile& file) {
  ASSIGN_OR_RETURN(const std::string_view name, file.GetString("general.architecture"));
  ASSIGN_OR_RETURN(const Architecture architecture, ParseArchitecture(name));
  return Parser(file, name).Run(architecture);
}

}  // namespace lamella
