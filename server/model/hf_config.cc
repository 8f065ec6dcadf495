#include "server/model/hf_config.h"

#include <algorithm>
#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/json.h"
#include "server/model/config_presets.h"
#include "server/model/hf_config_reader.h"
#include "server/model/hf_rope.h"

namespace lamella {
namespace {

// Bookkeeping, training and generation: no influence on what the forward pass computes.
constexpr std::array kHarmlessKeys = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_name_or_path",
    "attention_dropout",
    "attn_implementation",
    "cache_implementation",
    "chunk_size_feed_forward",
    "do_sample",
    "dtype",
    "finetuning_task",
    "gradient_checkpointing",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "max_length",
    "min_length",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "task_specific_params",
    "temperature",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
    "use_bfloat16",
};

bool IsHarmless(std::string_view key) {
  return std::find(kHarmlessKeys.begin(), kHarmlessKeys.end(), key) != kHarmlessKeys.end();
}

struct Known {
  const char* model_type;
  Architecture architecture;
  int32_t kv_heads;  // where the key is absent; 0: as many as query heads
  int32_t head_dim;  // where the key is absent; 0: hidden_size / heads
};

constexpr std::array<Known, 5> kKnown = {{{"llama", Architecture::kLlama, 0, 0},
                                          {"mistral", Architecture::kMistral, 8, 0},
                                          {"qwen2", Architecture::kQwen2, 32, 0},
                                          {"qwen3", Architecture::kQwen3, 32, 128},
                                          {"gemma3_text", Architecture::kGemma3, 4, 256}}};

absl::Status UnknownArchitecture(const char* key, const std::string& value) {
  return MakeError(absl::StatusCode::kUnimplemented, reasons::kUnknownArchitecture, key,
                   absl::StrCat("config.json: ", key, " ", value,
                                " is not supported: LlamaForCausalLM, MistralForCausalLM, "
                                "Qwen2ForCausalLM, Qwen3ForCausalLM and Gemma3ForCausalLM are"));
}

// By "architectures", or by "model_type" where there is no such list; they must agree.
absl::StatusOr<Known> FindArchitecture(HfConfigReader* reader) {
  ASSIGN_OR_RETURN(const std::string type, reader->StringOr("model_type", ""));
  std::string name;
  if (const JsonValue* list = reader->Take("architectures"); list != nullptr) {
    const JsonValue::Array* entries = list->AsArray();
    const std::string* first =
        entries != nullptr && entries->size() == 1 ? entries->front().AsString() : nullptr;
    if (first == nullptr) return UnknownArchitecture("architectures", list->Describe());
    name = *first;
  }
  for (const Known& known : kKnown) {
    if (name.empty() ? type != known.model_type : name != ArchitectureName(known.architecture)) {
      continue;
    }
    if (!type.empty() && type != known.model_type) {
      return reader->InvalidValue("model_type",
                                  absl::StrCat("is ", type, " but architectures says ", name));
    }
    return known;
  }
  return name.empty() ? UnknownArchitecture("model_type", type)
                      : UnknownArchitecture("architectures", name);
}

absl::Status RefuseFeatures(Architecture architecture, HfConfigReader* reader) {
  // Qwen2 has biases on q, k and v whatever this key says.
  if (architecture == Architecture::kQwen2) {
    reader->Take("attention_bias");
  } else {
    RETURN_IF_ERROR(reader->MustBe("attention_bias", false));
  }
  for (const char* key : {"mlp_bias", "use_bidirectional_attention", "rope_interleaved",
                          "is_encoder_decoder", "add_cross_attention", "use_mrope"}) {
    RETURN_IF_ERROR(reader->MustBe(key, false));
  }
  RETURN_IF_ERROR(reader->MustBe("partial_rotary_factor", 1.0));
  for (const char* key :
       {"attn_logit_softcapping", "final_logit_softcapping", "quantization_config"}) {
    RETURN_IF_ERROR(reader->MustBeNull(key));
  }
  return absl::OkStatus();
}

absl::Status ReadSizes(const Known& known, HfConfigReader* reader, ModelConfig* config) {
  ASSIGN_OR_RETURN(config->vocab_size, reader->Int("vocab_size"));
  ASSIGN_OR_RETURN(config->hidden_size, reader->Int("hidden_size"));
  ASSIGN_OR_RETURN(config->intermediate_size, reader->Int("intermediate_size"));
  ASSIGN_OR_RETURN(config->num_layers, reader->Int("num_hidden_layers"));
  ASSIGN_OR_RETURN(config->num_q_heads, reader->Int("num_attention_heads"));
  ASSIGN_OR_RETURN(config->max_position, reader->Int("max_position_embeddings"));
  if (config->num_q_heads < 1) {
    return reader->InvalidValue("num_attention_heads", "is not positive");
  }
  const int32_t kv_heads = known.kv_heads > 0 ? known.kv_heads : config->num_q_heads;
  ASSIGN_OR_RETURN(config->num_kv_heads, reader->IntOr("num_key_value_heads", kv_heads));
  const int32_t head_dim =
      known.head_dim > 0 ? known.head_dim : config->hidden_size / config->num_q_heads;
  ASSIGN_OR_RETURN(config->head_dim, reader->IntOr("head_dim", head_dim));
  ASSIGN_OR_RETURN(const double epsilon, reader->DoubleOr("rms_norm_eps", 1e-6));
  config->rms_norm_eps = static_cast<float>(epsilon);
  const bool gemma = config->architecture == Architecture::kGemma3;
  ASSIGN_OR_RETURN(config->tie_word_embeddings, reader->BoolOr("tie_word_embeddings", gemma));
  return ValidateModelSizes(*config);
}

absl::Status ReadActivation(HfConfigReader* reader, ModelConfig* config) {
  const bool gemma = config->architecture == Architecture::kGemma3;
  const char* key = gemma ? "hidden_activation" : "hidden_act";
  ASSIGN_OR_RETURN(const std::string name,
                   reader->StringOr(key, gemma ? "gelu_pytorch_tanh" : "silu"));
  if (name == "silu") {
    config->activation = Activation::kSilu;
  } else if (name == "gelu_pytorch_tanh") {
    config->activation = Activation::kGeluTanh;
  } else {
    return reader->Unsupported(key, JsonValue(name));
  }
  return absl::OkStatus();
}

absl::Status ReadScales(HfConfigReader* reader, ModelConfig* config) {
  double scalar = config->head_dim;
  if (config->architecture == Architecture::kGemma3) {
    ASSIGN_OR_RETURN(scalar, reader->DoubleOr("query_pre_attn_scalar", 256));
  }
  SetScales(scalar, config);
  return absl::OkStatus();
}

// Which layers have a window where the file has no "layer_types".
absl::StatusOr<std::vector<bool>> DefaultPattern(HfConfigReader* reader,
                                                 const ModelConfig& config) {
  std::vector<bool> sliding(config.layers.size(), false);
  if (config.architecture == Architecture::kMistral) sliding.assign(sliding.size(), true);
  if (config.architecture == Architecture::kQwen2 || config.architecture == Architecture::kQwen3) {
    ASSIGN_OR_RETURN(const int32_t first, reader->IntOr("max_window_layers", 28));
    for (size_t i = 0; i < sliding.size(); ++i) sliding[i] = static_cast<int64_t>(i) >= first;
  }
  if (config.architecture == Architecture::kGemma3) {
    ASSIGN_OR_RETURN(int32_t pattern, reader->IntOr("_sliding_window_pattern", kGemmaLayerPattern));
    ASSIGN_OR_RETURN(pattern, reader->IntOr("sliding_window_pattern", pattern));
    if (pattern < 1) return reader->InvalidValue("sliding_window_pattern", "is not positive");
    const auto step = static_cast<size_t>(pattern);
    for (size_t i = 0; i < sliding.size(); ++i) sliding[i] = (i + 1) % step != 0;
  }
  return sliding;
}

absl::StatusOr<std::vector<bool>> ReadPattern(HfConfigReader* reader, const ModelConfig& config,
                                              int32_t window) {
  ASSIGN_OR_RETURN(std::vector<bool> sliding, DefaultPattern(reader, config));
  const JsonValue* types = reader->Take("layer_types");
  if (types == nullptr) return sliding;
  const JsonValue::Array* list = types->AsArray();
  if (list == nullptr || list->size() != sliding.size()) {
    return reader->InvalidValue("layer_types", "is no list with an entry for every layer");
  }
  for (size_t i = 0; i < sliding.size(); ++i) {
    const std::string* type = (*list)[i].AsString();
    if (type == nullptr || (*type != "full_attention" && *type != "sliding_attention")) {
      return reader->Unsupported("layer_types", (*list)[i]);
    }
    sliding[i] = *type == "sliding_attention";
    if (sliding[i] && window == 0) {
      return reader->InvalidValue("sliding_window", "is missing, but layer_types needs it");
    }
  }
  return sliding;
}

// 0: no layer has a window.
absl::StatusOr<int32_t> ReadWindow(HfConfigReader* reader, Architecture architecture) {
  if (architecture == Architecture::kLlama) return 0;
  bool used = true;
  if (architecture == Architecture::kQwen2 || architecture == Architecture::kQwen3) {
    ASSIGN_OR_RETURN(used, reader->BoolOr("use_sliding_window", false));
  }
  // Absent means transformers' default, null means none.
  const bool absent = !reader->Has("sliding_window");
  ASSIGN_OR_RETURN(const int32_t window, reader->IntOr("sliding_window", absent ? 4096 : 0));
  if (window < 0) return reader->InvalidValue("sliding_window", "is negative");
  return used ? window : 0;
}

absl::Status ReadLayers(HfConfigReader* reader, ModelConfig* config) {
  config->layers.resize(static_cast<size_t>(config->num_layers));
  ASSIGN_OR_RETURN(const RopePair rope, ReadHfRope(config->architecture, reader));
  ASSIGN_OR_RETURN(const int32_t window, ReadWindow(reader, config->architecture));
  ASSIGN_OR_RETURN(const std::vector<bool> sliding, ReadPattern(reader, *config, window));
  for (size_t i = 0; i < sliding.size(); ++i) {
    config->layers[i] = sliding[i] ? LayerConfig{window, rope.local} : LayerConfig{0, rope.full};
  }
  return absl::OkStatus();
}

absl::Status ReadTokens(HfConfigReader* reader, ModelConfig* config) {
  ASSIGN_OR_RETURN(config->bos_token_id, reader->IntOr("bos_token_id", -1));
  ASSIGN_OR_RETURN(config->eos_token_ids, reader->Ids("eos_token_id"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ParseHfConfig(std::string_view config_json) {
  ASSIGN_OR_RETURN(const JsonValue root, ParseStrictJson(config_json));
  HfConfigReader reader(root);
  if (!root.is_object()) return reader.InvalidValue("", "is no object");
  ASSIGN_OR_RETURN(const Known known, FindArchitecture(&reader));
  ModelConfig config = ArchitecturePreset(known.architecture);
  RETURN_IF_ERROR(RefuseFeatures(known.architecture, &reader));
  RETURN_IF_ERROR(ReadSizes(known, &reader, &config));
  RETURN_IF_ERROR(ReadActivation(&reader, &config));
  RETURN_IF_ERROR(ReadScales(&reader, &config));
  RETURN_IF_ERROR(ReadLayers(&reader, &config));
  RETURN_IF_ERROR(ReadTokens(&reader, &config));
  RETURN_IF_ERROR(reader.RefuseRest(IsHarmless));
  RETURN_IF_ERROR(ValidateModelConfig(config));
  return config;
}

absl::Status ApplyGenerationConfig(std::string_view generation_config_json, ModelConfig* config) {
  ASSIGN_OR_RETURN(const JsonValue root, ParseStrictJson(generation_config_json));
  ASSIGN_OR_RETURN(auto ids, HfConfigReader(root).Ids("eos_token_id"));
  if (!ids.empty()) config->eos_token_ids = std::move(ids);
  return ValidateModelConfig(*config);
}

}  // namespace lamella
