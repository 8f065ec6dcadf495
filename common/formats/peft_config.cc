#include "common/formats/peft_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

enum class Rule {
  kRead,       // implemented; see Read
  kIgnore,     // no effect at inference
  kRefuseSet,  // a feature that is not here: anything but null, false, 0, "" and empty
  kRefuseAny,  // the same, but already a value other than null turns it on
  kChoice,     // refused or taken by value; see CheckChoiceFeature
};

struct KeyRule {
  std::string_view key;
  Rule rule;
};

// Every key that PEFT's LoraConfig writes.
constexpr std::array kRules = std::to_array<KeyRule>({
    {"alora_invocation_tokens", Rule::kRefuseAny},
    {"alpha_pattern", Rule::kRead},
    {"arrow_config", Rule::kRefuseSet},
    {"auto_mapping", Rule::kIgnore},
    {"base_model_name_or_path", Rule::kRead},
    {"bias", Rule::kChoice},
    {"corda_config", Rule::kIgnore},
    {"ensure_weight_tying", Rule::kIgnore},
    {"eva_config", Rule::kIgnore},
    {"exclude_modules", Rule::kIgnore},
    {"fan_in_fan_out", Rule::kRefuseSet},
    {"inference_mode", Rule::kIgnore},
    {"init_lora_weights", Rule::kChoice},
    {"kasa_config", Rule::kRefuseSet},
    {"layer_replication", Rule::kRefuseSet},
    {"layers_pattern", Rule::kIgnore},
    {"layers_to_transform", Rule::kIgnore},
    {"loftq_config", Rule::kIgnore},
    {"lora_alpha", Rule::kRead},
    {"lora_bias", Rule::kRefuseSet},
    {"lora_dropout", Rule::kIgnore},
    {"lora_ga_config", Rule::kIgnore},
    {"megatron_config", Rule::kRefuseSet},
    {"megatron_core", Rule::kIgnore},
    {"modules_to_save", Rule::kRefuseSet},
    {"monteclora_config", Rule::kRefuseSet},
    {"peft_type", Rule::kChoice},
    {"peft_version", Rule::kRead},
    {"qalora_group_size", Rule::kIgnore},
    {"r", Rule::kRead},
    {"rank_pattern", Rule::kRead},
    {"revision", Rule::kRead},
    {"runtime_config", Rule::kIgnore},
    {"target_modules", Rule::kIgnore},
    {"target_parameters", Rule::kRefuseSet},
    {"task_type", Rule::kChoice},
    {"trainable_token_indices", Rule::kRefuseSet},
    {"use_bdlora", Rule::kRefuseSet},
    {"use_dora", Rule::kRefuseSet},
    {"use_qalora", Rule::kRefuseSet},
    {"use_rslora", Rule::kRead},
    {"velora_config", Rule::kIgnore},
});

absl::Status Unsupported(std::string_view key, const std::string& message) {
  return MakeError(absl::StatusCode::kUnimplemented, reasons::kUnsupportedFeature, key, message);
}

absl::Status InvalidValue(std::string_view key, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidConfigValue, key, message);
}

// Starts that also changed the base's weights, so the adapter does not belong to the plain base.
bool ChangesBase(const std::string& init) {
  static constexpr std::array<std::string_view, 6> kStarts = {"pissa", "olora", "corda",
                                                              "loftq", "mica",  "kasa"};
  const std::string lower = absl::AsciiStrToLower(init);
  return std::ranges::any_of(kStarts,
                             [&](std::string_view start) { return lower.starts_with(start); });
}

absl::Status CheckInitFeature(const JsonValue& value) {
  const std::string* init = value.AsString();
  if (init == nullptr || !ChangesBase(*init)) return absl::OkStatus();
  return Unsupported(
      "init_lora_weights",
      absl::StrCat("init_lora_weights ", QuoteForMessage(*init),
                   " changed the base's weights; convert the adapter when saving: "
                   "save_pretrained(..., path_initial_model_for_weight_conversion)"));
}

// The choices that name a feature; values of no meaning are left to CheckChoices.
absl::Status CheckChoiceFeature(std::string_view key, const JsonValue& value) {
  if (key == "init_lora_weights") return CheckInitFeature(value);
  const std::string* text = value.AsString();
  if (text == nullptr) return absl::OkStatus();
  if (key == "peft_type" && *text != "LORA") {
    return Unsupported(key, absl::StrCat("peft_type must be LORA, is ", QuoteForMessage(*text)));
  }
  if (key == "task_type" && *text != "CAUSAL_LM") {
    return Unsupported(
        key, absl::StrCat("task_type must be CAUSAL_LM or null, is ", QuoteForMessage(*text)));
  }
  if (key == "bias" && (*text == "all" || *text == "lora_only")) {
    return Unsupported(key, absl::StrCat("bias must be \"none\", is ", QuoteForMessage(*text)));
  }
  return absl::OkStatus();
}

const KeyRule* FindRule(std::string_view key) {
  const auto found = std::ranges::find(kRules, key, &KeyRule::key);
  return found == kRules.end() ? nullptr : &*found;
}

// First pass: features by name, which win over everything else that may be wrong.
absl::Status CheckFeatures(const JsonValue::Object& members) {
  for (const auto& [key, value] : members) {
    const KeyRule* rule = FindRule(key);
    if (rule == nullptr) continue;
    if (rule->rule == Rule::kChoice) RETURN_IF_ERROR(CheckChoiceFeature(key, value));
    const bool refused = (rule->rule == Rule::kRefuseSet && !value.is_empty()) ||
                         (rule->rule == Rule::kRefuseAny && !value.is_null());
    if (refused) {
      return Unsupported(key, absl::StrCat(key, " is not supported, is ", value.Describe()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckUnknownKeys(const JsonValue::Object& members) {
  for (const auto& [key, value] : members) {
    if (FindRule(key) != nullptr || value.is_empty()) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kUnknownConfigKey, key,
                     absl::StrCat("the key ", QuoteForMessage(key),
                                  " is unknown and may change the answers, is ", value.Describe()));
  }
  return absl::OkStatus();
}

absl::Status CheckChoices(const JsonValue& root) {
  RETURN_IF_ERROR(root.GetString("peft_type").status());
  RETURN_IF_ERROR(root.GetStringOr("task_type", "").status());
  ASSIGN_OR_RETURN(const std::string bias, root.GetStringOr("bias", "none"));
  if (bias != "none") {
    return InvalidValue("bias", absl::StrCat("bias must be \"none\", is ", QuoteForMessage(bias)));
  }
  const JsonValue* init = root.Find("init_lora_weights");
  if (init == nullptr || init->is_null() || init->AsBool()) return absl::OkStatus();
  static constexpr std::array<std::string_view, 4> kStarts = {"gaussian", "eva", "orthogonal",
                                                              "lora_ga"};
  const std::string* text = init->AsString();
  if (text != nullptr && std::ranges::count(kStarts, absl::AsciiStrToLower(*text)) == 1) {
    return absl::OkStatus();
  }
  return InvalidValue("init_lora_weights",
                      absl::StrCat("init_lora_weights has the unknown value ", init->Describe()));
}

absl::Status CheckRank(std::string_view key, int64_t rank, const PeftLimits& limits) {
  if (rank >= 1 && rank <= limits.max_rank) return absl::OkStatus();
  return InvalidValue(
      key, absl::StrCat(std::string(key), " must be in [1, ", limits.max_rank, "], got ", rank));
}

absl::StatusOr<PeftPatterns> ReadPatterns(const JsonValue& root, std::string_view key, bool is_rank,
                                          const PeftLimits& limits) {
  const JsonValue* value = root.Find(key);
  if (value == nullptr || value->is_null()) return PeftPatterns();
  ASSIGN_OR_RETURN(const JsonValue::Object* members, root.GetObject(key));
  std::vector<PeftPatterns::Entry> entries;
  for (const auto& [pattern, number] : *members) {
    const auto rank = number.AsInt();
    const auto entry = number.AsDouble();
    if (!entry || (is_rank && !rank)) {
      return InvalidValue(
          key,
          absl::StrCat(std::string(key), ": the value of ", QuoteForMessage(pattern), " must be ",
                       is_rank ? "an integer" : "a number", ", is ", number.Describe()));
    }
    if (is_rank) RETURN_IF_ERROR(CheckRank(key, *rank, limits));
    entries.push_back({pattern, *entry});
  }
  return PeftPatterns::Compile(key, std::move(entries), limits);
}

absl::StatusOr<PeftConfig> Read(const JsonValue& root, const PeftLimits& limits) {
  PeftConfig config;  // PEFT's own defaults where a key is absent
  ASSIGN_OR_RETURN(const int64_t r, root.GetIntOr("r", config.r));
  RETURN_IF_ERROR(CheckRank("r", r, limits));
  config.r = static_cast<int32_t>(r);
  ASSIGN_OR_RETURN(config.lora_alpha, root.GetDoubleOr("lora_alpha", config.lora_alpha));
  ASSIGN_OR_RETURN(config.use_rslora, root.GetBoolOr("use_rslora", false));
  ASSIGN_OR_RETURN(config.rank_pattern, ReadPatterns(root, "rank_pattern", true, limits));
  ASSIGN_OR_RETURN(config.alpha_pattern, ReadPatterns(root, "alpha_pattern", false, limits));
  ASSIGN_OR_RETURN(config.base_model_name_or_path, root.GetStringOr("base_model_name_or_path", ""));
  ASSIGN_OR_RETURN(config.revision, root.GetStringOr("revision", ""));
  ASSIGN_OR_RETURN(config.task_type, root.GetStringOr("task_type", ""));
  ASSIGN_OR_RETURN(config.peft_version, root.GetStringOr("peft_version", ""));
  return config;
}

// The shortest text that reads back as the same number: one spelling for 16, 16.0 and 1.6e1.
std::string Number(double value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

std::string CanonicalPatterns(const PeftPatterns& patterns) {
  std::string out = "[";
  for (const PeftPatterns::Entry& entry : patterns.entries()) {
    absl::StrAppend(&out, out.size() > 1 ? "," : "", "[", JsonQuote(entry.key), ",",
                    Number(entry.value), "]");
  }
  return out + "]";
}

}  // namespace

int32_t PeftConfig::RankFor(std::string_view module_path) const {
  return static_cast<int32_t>(rank_pattern.Match(module_path).value_or(r));
}

double PeftConfig::ScaleFor(std::string_view module_path, int32_t rank) const {
  const double alpha = alpha_pattern.Match(module_path).value_or(lora_alpha);
  return alpha / (use_rslora ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
}

std::string PeftConfig::Canonical() const {
  // task_type is left out: null and CAUSAL_LM compute the same. A family that adds a key writes it
  // only where it differs from plain LoRA, so versions made before it keep their digest.
  return absl::StrCat("{\"alpha_pattern\":", CanonicalPatterns(alpha_pattern),
                      ",\"lora_alpha\":", Number(lora_alpha), ",\"peft_type\":\"LORA\",\"r\":", r,
                      ",\"rank_pattern\":", CanonicalPatterns(rank_pattern),
                      ",\"use_rslora\":", use_rslora ? "true" : "false", "}");
}

absl::StatusOr<PeftConfig> ParsePeftConfig(std::string_view json, const PeftLimits& limits) {
  ASSIGN_OR_RETURN(const JsonValue root,
                   ParseStrictJson(json, {.max_bytes = limits.max_config_bytes}));
  const JsonValue::Object* members = root.AsObject();
  if (members == nullptr) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMalformedJson, "",
                     absl::StrCat("the config must be a JSON object, is ", root.Describe()));
  }
  RETURN_IF_ERROR(CheckFeatures(*members));
  RETURN_IF_ERROR(CheckUnknownKeys(*members));
  RETURN_IF_ERROR(CheckChoices(root));
  return Read(root, limits);
}

}  // namespace lamella
