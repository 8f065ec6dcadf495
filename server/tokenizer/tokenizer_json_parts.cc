#include "server/tokenizer/tokenizer_json_parts.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/tokenizer/load_error.h"

namespace lamella {
namespace {

bool IsAbsent(const JsonValue* node) { return node == nullptr || node->is_null(); }

// What a component says it is; a view into `node`.
absl::StatusOr<std::string_view> TypeOf(const JsonValue& node) {
  const JsonValue* type = node.Find("type");
  if (type == nullptr || type->AsString() == nullptr) {
    return BadTokenizer("type", absl::StrCat("a component without a type: ", node.Describe()));
  }
  return std::string_view(*type->AsString());
}

// {"String": "x"} or {"Regex": "x"}.
absl::Status ReadPattern(const JsonValue& node, std::string_view field, std::string* text,
                         std::optional<Regex>* regex) {
  const JsonValue* pattern = node.Find("pattern");
  if (pattern == nullptr) return BadTokenizer(field, "no pattern");
  if (const JsonValue* literal = pattern->Find("String"); literal != nullptr) {
    if (literal->AsString() == nullptr || literal->AsString()->empty()) {
      return BadTokenizer(field, "an empty pattern");
    }
    *text = *literal->AsString();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string source, pattern->GetString("Regex"));
  ASSIGN_OR_RETURN(*regex, Regex::Compile(source, field));
  return absl::OkStatus();
}

absl::Status ReadReplace(const JsonValue& node, Normalizer* normalizer) {
  Normalizer::Replace replace;
  RETURN_IF_ERROR(ReadPattern(node, "normalizer.Replace", &replace.text, &replace.regex));
  ASSIGN_OR_RETURN(replace.content, node.GetString("content"));
  normalizer->Add(std::move(replace));
  return absl::OkStatus();
}

absl::StatusOr<SplitBehavior> ReadBehavior(const JsonValue& node) {
  static constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames = {{
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous},
  }};
  ASSIGN_OR_RETURN(const std::string name, node.GetString("behavior"));
  for (const auto& [known, behavior] : kNames) {
    if (name == known) return behavior;
  }
  return UnsupportedTokenizer("pre_tokenizer.Split.behavior", name);
}

absl::Status ReadSplit(const JsonValue& node, PreTokenizer* pre_tokenizer) {
  PreTokenizer::Split split;
  RETURN_IF_ERROR(ReadPattern(node, "pre_tokenizer.Split", &split.text, &split.regex));
  ASSIGN_OR_RETURN(split.behavior, ReadBehavior(node));
  ASSIGN_OR_RETURN(split.invert, node.GetBoolOr("invert", false));
  pre_tokenizer->Add(std::move(split));
  return absl::OkStatus();
}

absl::Status ReadByteLevel(const JsonValue& node, PreTokenizer* pre_tokenizer) {
  ASSIGN_OR_RETURN(const bool prefix_space, node.GetBoolOr("add_prefix_space", true));
  if (prefix_space) pre_tokenizer->Add(PreTokenizer::PrefixSpace{});
  ASSIGN_OR_RETURN(const bool use_regex, node.GetBoolOr("use_regex", true));
  if (!use_regex) return absl::OkStatus();
  ASSIGN_OR_RETURN(PreTokenizer::Split split, PreTokenizer::Gpt2Split());
  pre_tokenizer->Add(std::move(split));
  return absl::OkStatus();
}

// The ids of a TemplateProcessing's special token.
absl::StatusOr<std::vector<int32_t>> TemplateIds(const JsonValue& node, const JsonValue& item,
                                                 const Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const std::string name, item.GetString("id"));
  const JsonValue* tokens = node.Find("special_tokens");
  const JsonValue* token = tokens == nullptr ? nullptr : tokens->Find(name);
  if (token == nullptr) {
    return BadTokenizer("post_processor.TemplateProcessing", absl::StrCat("unknown token ", name));
  }
  ASSIGN_OR_RETURN(const JsonValue::Array* listed, token->GetArray("ids"));
  std::vector<int32_t> ids;
  for (const JsonValue& entry : *listed) {
    const auto id = entry.AsInt();
    if (!id.has_value() || *id < 0 || *id > Vocabulary::kMaxId ||
        !vocabulary.Has(static_cast<int32_t>(*id))) {
      return BadTokenizer("post_processor.TemplateProcessing", name + " has an id of no token");
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

absl::Status ReadTemplate(const JsonValue& node, BpeTokenizerParts* parts) {
  constexpr std::string_view kField = "post_processor.TemplateProcessing";
  ASSIGN_OR_RETURN(const JsonValue::Array* items, node.GetArray("single"));
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
  bool seen_text = false;
  for (const JsonValue& item : *items) {
    if (const JsonValue* sequence = item.Find("Sequence"); sequence != nullptr) {
      if (seen_text) return UnsupportedTokenizer(kField, "the text twice in \"single\"");
      seen_text = true;
      continue;
    }
    const JsonValue* special = item.Find("SpecialToken");
    if (special == nullptr) return UnsupportedTokenizer(kField, item.Describe());
    ASSIGN_OR_RETURN(const auto ids, TemplateIds(node, *special, *parts->vocabulary));
    std::vector<int32_t>& side = seen_text ? suffix : prefix;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!seen_text) return UnsupportedTokenizer(kField, "\"single\" without the text");
  // A later processor wraps what an earlier one made.
  parts->prefix_ids.insert(parts->prefix_ids.begin(), prefix.begin(), prefix.end());
  parts->suffix_ids.insert(parts->suffix_ids.end(), suffix.begin(), suffix.end());
  return absl::OkStatus();
}

// What a list of decoders has been seen to hold so far; they come in one order only.
enum class DecoderStage { kReplace, kBytes, kFused };

absl::Status ReadDecoderStep(const JsonValue& node, DecoderOptions* decoder, DecoderStage* stage) {
  ASSIGN_OR_RETURN(const std::string_view type, TypeOf(node));
  if (type == "Replace" && *stage == DecoderStage::kReplace) {
    std::string what;
    std::optional<Regex> regex;
    RETURN_IF_ERROR(ReadPattern(node, "decoder.Replace", &what, &regex));
    if (regex.has_value()) return UnsupportedTokenizer("decoder.Replace", "a Regex pattern");
    ASSIGN_OR_RETURN(std::string content, node.GetString("content"));
    decoder->replacements.emplace_back(std::move(what), std::move(content));
  } else if (type == "ByteFallback" && *stage == DecoderStage::kReplace) {
    decoder->byte_fallback = true;
    *stage = DecoderStage::kBytes;
  } else if (type == "Fuse" && *stage != DecoderStage::kFused) {
    *stage = DecoderStage::kFused;
  } else if (type == "Strip" && *stage == DecoderStage::kFused && decoder->strip.empty()) {
    ASSIGN_OR_RETURN(decoder->strip, node.GetString("content"));
    ASSIGN_OR_RETURN(const int64_t start, node.GetIntOr("start", 0));
    ASSIGN_OR_RETURN(const int64_t stop, node.GetIntOr("stop", 0));
    if (decoder->strip.empty() || start < 0 || start > 64 || stop != 0) {
      return UnsupportedTokenizer("decoder.Strip", node.Describe());
    }
    decoder->strip_at_start = static_cast<int32_t>(start);
  } else {
    return UnsupportedTokenizer("decoder", absl::StrCat(std::string(type), " (in this place)"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadNormalizer(const JsonValue* node, Normalizer* normalizer) {
  if (IsAbsent(node)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string_view type, TypeOf(*node));
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const JsonValue::Array* steps, node->GetArray("normalizers"));
    for (const JsonValue& step : *steps) RETURN_IF_ERROR(ReadNormalizer(&step, normalizer));
    return absl::OkStatus();
  }
  if (type == "Replace") return ReadReplace(*node, normalizer);
  if (type == "Prepend") {
    Normalizer::Prepend prepend;
    ASSIGN_OR_RETURN(prepend.content, node->GetString("prepend"));
    normalizer->Add(std::move(prepend));
    return absl::OkStatus();
  }
  if (type == "NFC") {
    normalizer->Add(Normalizer::Nfc{});
    return absl::OkStatus();
  }
  return UnsupportedTokenizer("normalizer", type);
}

absl::Status ReadPreTokenizer(const JsonValue* node, PreTokenizer* pre_tokenizer,
                              bool* byte_level) {
  if (IsAbsent(node)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string_view type, TypeOf(*node));
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const JsonValue::Array* steps, node->GetArray("pretokenizers"));
    for (const JsonValue& step : *steps) {
      RETURN_IF_ERROR(ReadPreTokenizer(&step, pre_tokenizer, byte_level));
    }
    return absl::OkStatus();
  }
  if (*byte_level)
    return UnsupportedTokenizer("pre_tokenizer",
                                absl::StrCat(std::string(type), " after ByteLevel"));
  if (type == "Split") return ReadSplit(*node, pre_tokenizer);
  if (type == "Digits") {
    PreTokenizer::Digits digits;
    ASSIGN_OR_RETURN(digits.individual, node->GetBoolOr("individual_digits", false));
    pre_tokenizer->Add(digits);
    return absl::OkStatus();
  }
  if (type == "ByteLevel") {
    *byte_level = true;
    return ReadByteLevel(*node, pre_tokenizer);
  }
  return UnsupportedTokenizer("pre_tokenizer", type);
}

absl::Status ReadPostProcessor(const JsonValue* node, BpeTokenizerParts* parts) {
  if (IsAbsent(node)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string_view type, TypeOf(*node));
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const JsonValue::Array* steps, node->GetArray("processors"));
    for (const JsonValue& step : *steps) RETURN_IF_ERROR(ReadPostProcessor(&step, parts));
    return absl::OkStatus();
  }
  if (type == "ByteLevel") return absl::OkStatus();  // it trims offsets; ours are what was read
  if (type == "TemplateProcessing") return ReadTemplate(*node, parts);
  return UnsupportedTokenizer("post_processor", type);
}

absl::Status ReadDecoder(const JsonValue* node, DecoderOptions* decoder) {
  if (IsAbsent(node)) return UnsupportedTokenizer("decoder", "null");
  ASSIGN_OR_RETURN(const std::string_view type, TypeOf(*node));
  if (type == "ByteLevel") {
    decoder->byte_level = true;
    return absl::OkStatus();
  }
  DecoderStage stage = DecoderStage::kReplace;
  if (type != "Sequence") return ReadDecoderStep(*node, decoder, &stage);
  ASSIGN_OR_RETURN(const JsonValue::Array* steps, node->GetArray("decoders"));
  if (steps->size() == 1) return ReadDecoder(&steps->front(), decoder);
  for (const JsonValue& step : *steps) RETURN_IF_ERROR(ReadDecoderStep(step, decoder, &stage));
  return absl::OkStatus();
}

}  // namespace lamella
