#include "server/tokenizer/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "server/tokenizer/bpe_tokenizer.h"
#include "server/tokenizer/load_error.h"
#include "server/tokenizer/utf8.h"

namespace lamella {
namespace {

constexpr char kBlank[] = "\xE2\x96\x81";  // U+2581

constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// How a named pre-tokenizer cuts, as the tokenizer.json of the models that use it says.
struct PreRecipe {
  std::string_view name;
  bool digits = false;       // each alone, first
  bool gpt2 = false;         // GPT-2's pattern ...
  std::string_view pattern;  // ... or this one
  bool nfc = false;
  bool ignore_merges = false;
};

constexpr std::array<PreRecipe, 7> kPreRecipes = {{
    {.name = "gpt-2", .gpt2 = true},
    {.name = "gpt2", .gpt2 = true},
    {.name = "smollm", .digits = true, .gpt2 = true},
    {.name = "qwen2", .pattern = kQwen2Pattern, .nfc = true},
    {.name = "llama-bpe", .pattern = kLlama3Pattern, .ignore_merges = true},
    {.name = "llama3", .pattern = kLlama3Pattern, .ignore_merges = true},
    {.name = "llama-v3", .pattern = kLlama3Pattern, .ignore_merges = true},
}};

bool IsSpecial(GgufTokenType type) {
  return type == GgufTokenType::kControl || type == GgufTokenType::kUnknown;
}

absl::Status Check(const GgufTokenizerData& data) {
  if (data.tokens.empty()) return BadTokenizer("tokenizer.ggml.tokens", "there are none");
  if (data.token_types.size() != data.tokens.size()) {
    return BadTokenizer(
        "tokenizer.ggml.token_type",
        absl::StrCat(data.token_types.size(), " types for ", data.tokens.size(), " tokens"));
  }
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    if (utf8::FindInvalid(data.tokens[id]).has_value()) {
      return BadTokenizer("tokenizer.ggml.tokens", absl::StrCat("token ", id, " is not UTF-8"));
    }
  }
  const auto count = static_cast<int64_t>(data.tokens.size());
  for (const int32_t id : {data.bos_id, data.eos_id, data.eot_id, data.unk_id, data.pad_id}) {
    if (id < -1 || id >= count) {
      return BadTokenizer("tokenizer.ggml",
                          absl::StrCat("special id ", id, " of ", count, " tokens"));
    }
  }
  return absl::OkStatus();
}

// `blanks`: user-defined tokens spell blanks as blanks in the file, as U+2581 in the vocabulary.
absl::StatusOr<std::unique_ptr<Vocabulary>> BuildVocabulary(const GgufTokenizerData& data,
                                                            bool blanks) {
  size_t bytes = 0;
  for (const std::string& token : data.tokens)
    bytes += token.size() * std::string_view(kBlank).size();
  auto vocabulary = std::make_unique<Vocabulary>(bytes, data.tokens.size());
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const bool respell = blanks && data.token_types[i] == GgufTokenType::kUserDefined;
    std::string piece = data.tokens[i];
    if (respell) absl::StrReplaceAll({{" ", kBlank}}, &piece);
    RETURN_IF_ERROR(vocabulary->Add(piece, id));
    if (IsSpecial(data.token_types[i])) {
      RETURN_IF_ERROR(vocabulary->AddToken(piece, id, /*special=*/true));
    }
  }
  return vocabulary;
}

// User-defined runs of blanks are left to the merges: that is where a tokenizer.json has them.
void FillAddedTokens(const GgufTokenizerData& data, const Vocabulary& vocabulary,
                     AddedTokens* tokens) {
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const bool special = IsSpecial(data.token_types[i]);
    if (!special && data.token_types[i] != GgufTokenType::kUserDefined) continue;
    const std::string_view piece = vocabulary.Piece(id);
    const bool has_blank = piece.find(kBlank) != std::string_view::npos;
    if (piece.empty() || (has_blank && !special)) continue;
    tokens->Add(piece, {.id = id, .special = special});
  }
}

void FillIds(const GgufTokenizerData& data, BpeTokenizerParts* parts) {
  if (data.add_bos && data.bos_id >= 0) parts->prefix_ids.push_back(data.bos_id);
  if (data.add_eos && data.eos_id >= 0) parts->suffix_ids.push_back(data.eos_id);
  if (data.eos_id >= 0) parts->eos_token_ids.push_back(data.eos_id);
  if (data.eot_id >= 0 && data.eot_id != data.eos_id) parts->eos_token_ids.push_back(data.eot_id);
  parts->bos_token_id = data.bos_id;
}

absl::StatusOr<std::unique_ptr<const MergeRules>> ReadMerges(const GgufTokenizerData& data,
                                                             const Vocabulary& vocabulary) {
  auto merges = std::make_unique<ListedMerges>(data.merges.size());
  std::string whole;
  for (const std::string& line : data.merges) {
    const std::string_view merge = line;
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos) {
      return BadTokenizer("tokenizer.ggml.merges", line + " is not a pair");
    }
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    whole.assign(left);
    whole.append(right);
    const int32_t left_id = vocabulary.Find(left);
    const int32_t right_id = vocabulary.Find(right);
    const int32_t merged = vocabulary.Find(whole);
    if (left_id < 0 || right_id < 0 || merged < 0) {
      return BadTokenizer("tokenizer.ggml.merges", line + ": not in the vocabulary");
    }
    if (!vocabulary.IsSpecial(merged)) merges->Add(left_id, right_id, merged);
  }
  return merges;
}

absl::StatusOr<const PreRecipe*> FindRecipe(std::string_view name) {
  for (const PreRecipe& recipe : kPreRecipes) {
    if (recipe.name == name) return &recipe;
  }
  return UnsupportedTokenizer("tokenizer.ggml.pre",
                              name.empty() ? std::string_view("(none)") : name);
}

absl::Status FillPreTokenizer(const PreRecipe& recipe, BpeTokenizerParts* parts) {
  if (recipe.nfc) parts->normalizer.Add(Normalizer::Nfc{});
  if (recipe.digits) parts->pre_tokenizer.Add(PreTokenizer::Digits{.individual = true});
  if (recipe.gpt2) {
    ASSIGN_OR_RETURN(PreTokenizer::Split split, PreTokenizer::Gpt2Split());
    parts->pre_tokenizer.Add(std::move(split));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Regex regex, Regex::Compile(recipe.pattern, "tokenizer.ggml.pre"));
  parts->pre_tokenizer.Add(PreTokenizer::Split{.text = "", .regex = std::move(regex)});
  return absl::OkStatus();
}

absl::StatusOr<BpeTokenizerParts> ByteLevelParts(const GgufTokenizerData& data) {
  BpeTokenizerParts parts;
  ASSIGN_OR_RETURN(const PreRecipe* recipe, FindRecipe(data.pre));
  RETURN_IF_ERROR(FillPreTokenizer(*recipe, &parts));
  ASSIGN_OR_RETURN(auto vocabulary, BuildVocabulary(data, /*blanks=*/false));
  ASSIGN_OR_RETURN(auto merges, ReadMerges(data, *vocabulary));
  const BpeOptions options{.byte_level = true, .ignore_merges = recipe->ignore_merges};
  parts.model = std::make_unique<BpeModel>(vocabulary.get(), std::move(merges), options);
  parts.vocabulary = std::move(vocabulary);
  parts.decoder.byte_level = true;
  return parts;
}

absl::StatusOr<std::vector<float>> MergeScores(const GgufTokenizerData& data) {
  if (data.scores.size() != data.tokens.size()) {
    return BadTokenizer("tokenizer.ggml.scores", absl::StrCat(data.scores.size(), " scores for ",
                                                              data.tokens.size(), " tokens"));
  }
  std::vector<float> scores = data.scores;
  for (size_t id = 0; id < scores.size(); ++id) {
    if (!std::isfinite(scores[id])) {
      return BadTokenizer("tokenizer.ggml.scores",
                          absl::StrCat("score of token ", id, " is not finite"));
    }
    const GgufTokenType type = data.token_types[id];
    if (IsSpecial(type) || type == GgufTokenType::kByte) scores[id] = ScoredMerges::kNever;
    if (type == GgufTokenType::kUserDefined) scores[id] = 0.0F;
  }
  return scores;
}

absl::StatusOr<BpeTokenizerParts> ScoredParts(const GgufTokenizerData& data) {
  BpeTokenizerParts parts;
  ASSIGN_OR_RETURN(const std::vector<float> scores, MergeScores(data));
  ASSIGN_OR_RETURN(auto vocabulary, BuildVocabulary(data, /*blanks=*/true));
  const BpeOptions options{.byte_fallback = true, .fuse_unknown = true, .unknown_id = data.unk_id};
  parts.model = std::make_unique<BpeModel>(
      vocabulary.get(), std::make_unique<ScoredMerges>(vocabulary.get(), scores), options);
  parts.vocabulary = std::move(vocabulary);
  if (data.add_space_prefix) {
    parts.normalizer.Add(Normalizer::Prepend{kBlank});
    parts.decoder.strip.assign(1, ' ');
    parts.decoder.strip_at_start = 1;
  }
  parts.normalizer.Add(Normalizer::Replace{" ", std::nullopt, kBlank});
  parts.decoder.replacements.emplace_back(kBlank, " ");
  parts.decoder.byte_fallback = true;
  return parts;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> TokenizerFromGguf(const GgufTokenizerData& data) {
  RETURN_IF_ERROR(Check(data));
  if (data.model != "gpt2" && data.model != "llama") {
    return UnsupportedTokenizer("tokenizer.ggml.model", data.model);
  }
  ASSIGN_OR_RETURN(BpeTokenizerParts parts,
                   data.model == "gpt2" ? ByteLevelParts(data) : ScoredParts(data));
  FillAddedTokens(data, *parts.vocabulary, &parts.raw_tokens);
  FillIds(data, &parts);
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace lamella
