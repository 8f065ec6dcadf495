#include "server/tokenizer/tokenizer_json.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/json.h"
#include "server/tokenizer/bpe_tokenizer.h"
#include "server/tokenizer/load_error.h"
#include "server/tokenizer/tokenizer_json_parts.h"
#include "server/tokenizer/tokenizer_json_reader.h"

namespace lamella {
namespace {

const JsonValue::Array& AddedTokensOf(const JsonValue& document) {
  static const JsonValue::Array kNone;
  const JsonValue* added = document.Find("added_tokens");
  return added != nullptr && added->AsArray() != nullptr ? *added->AsArray() : kNone;
}

// Ids are checked by the vocabulary; what does not even fit 32 bits must not wrap into range.
int32_t NarrowId(int64_t id) {
  return id < 0 || id > Vocabulary::kMaxId ? -1 : static_cast<int32_t>(id);
}

absl::StatusOr<std::unique_ptr<Vocabulary>> BuildVocabulary(const TokenizerJsonData& data) {
  const JsonValue::Array& added = AddedTokensOf(data.document);
  size_t bytes = data.vocab_bytes.size();
  for (const JsonValue& token : added) {
    ASSIGN_OR_RETURN(const std::string content, token.GetString("content"));
    bytes += content.size();
  }
  auto vocabulary = std::make_unique<Vocabulary>(bytes, data.vocab.size() + added.size());
  for (const TokenizerJsonData::Piece& piece : data.vocab) {
    RETURN_IF_ERROR(vocabulary->Add(data.PieceOf(piece), NarrowId(piece.id)));
  }
  for (const JsonValue& token : added) {
    ASSIGN_OR_RETURN(const std::string content, token.GetString("content"));
    ASSIGN_OR_RETURN(const int64_t id, token.GetInt("id"));
    ASSIGN_OR_RETURN(const bool special, token.GetBoolOr("special", false));
    const int32_t listed = vocabulary->Find(content);
    if (listed >= 0 && listed != id) {
      return BadTokenizer("added_tokens", content + " has another id in the vocabulary");
    }
    RETURN_IF_ERROR(vocabulary->AddToken(content, NarrowId(id), special));
  }
  return vocabulary;
}

absl::StatusOr<std::unique_ptr<const MergeRules>> BuildMerges(const TokenizerJsonData& data,
                                                              const Vocabulary& vocabulary) {
  auto merges = std::make_unique<ListedMerges>(data.merges.size());
  std::string whole;
  for (const TokenizerJsonData::Merge& merge : data.merges) {
    whole.assign(data.LeftOf(merge));
    whole.append(data.RightOf(merge));
    const int32_t left = vocabulary.Find(data.LeftOf(merge));
    const int32_t right = vocabulary.Find(data.RightOf(merge));
    const int32_t merged = vocabulary.Find(whole);
    if (left < 0 || right < 0 || merged < 0) {
      return BadTokenizer("model.merges", whole + " or a part of it is not in the vocabulary");
    }
    // Special tokens come from the caller, never from letters that happen to spell one.
    if (!vocabulary.IsSpecial(merged)) merges->Add(left, right, merged);
  }
  return merges;
}

absl::Status RefuseUnlessEmpty(const JsonValue& model, std::string_view key) {
  const JsonValue* value = model.Find(key);
  if (value == nullptr || value->is_empty()) return absl::OkStatus();
  return UnsupportedTokenizer(absl::StrCat("model.", std::string(key)), value->Describe());
}

absl::StatusOr<BpeOptions> ReadModelOptions(const JsonValue& document,
                                            const Vocabulary& vocabulary) {
  const JsonValue* model = document.Find("model");
  if (model == nullptr || !model->is_object()) return BadTokenizer("model", "is not there");
  ASSIGN_OR_RETURN(const std::string type, model->GetStringOr("type", "BPE"));
  if (type != "BPE") return UnsupportedTokenizer("model", type);
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    RETURN_IF_ERROR(RefuseUnlessEmpty(*model, key));
  }
  BpeOptions options;
  ASSIGN_OR_RETURN(options.byte_fallback, model->GetBoolOr("byte_fallback", false));
  ASSIGN_OR_RETURN(options.fuse_unknown, model->GetBoolOr("fuse_unk", false));
  ASSIGN_OR_RETURN(options.ignore_merges, model->GetBoolOr("ignore_merges", false));
  ASSIGN_OR_RETURN(const std::string unknown, model->GetStringOr("unk_token", ""));
  if (!unknown.empty()) {
    options.unknown_id = vocabulary.Find(unknown);
    if (options.unknown_id < 0) {
      return BadTokenizer("model.unk_token", unknown + " is not in the vocabulary");
    }
  }
  return options;
}

absl::Status ReadAddedTokens(const JsonValue& document, BpeTokenizerParts* parts) {
  for (const JsonValue& node : AddedTokensOf(document)) {
    ASSIGN_OR_RETURN(std::string content, node.GetString("content"));
    if (content.empty()) continue;
    ASSIGN_OR_RETURN(const bool single_word, node.GetBoolOr("single_word", false));
    if (single_word) return UnsupportedTokenizer("added_tokens.single_word", content);
    AddedToken token;
    ASSIGN_OR_RETURN(const int64_t id, node.GetInt("id"));
    token.id = NarrowId(id);
    ASSIGN_OR_RETURN(token.special, node.GetBoolOr("special", false));
    ASSIGN_OR_RETURN(token.strip_left, node.GetBoolOr("lstrip", false));
    ASSIGN_OR_RETURN(token.strip_right, node.GetBoolOr("rstrip", false));
    ASSIGN_OR_RETURN(const bool normalized, node.GetBoolOr("normalized", !token.special));
    if (!normalized) {
      parts->raw_tokens.Add(content, token);
      continue;
    }
    ASSIGN_OR_RETURN(const AlignedText normal, parts->normalizer.Apply(content, 0));
    if (!normal.text.empty()) parts->normalized_tokens.Add(normal.text, token);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerJson(std::string_view json,
                                                             const TokenizerOptions& options) {
  ASSIGN_OR_RETURN(const TokenizerJsonData data, ReadTokenizerJson(json));
  const JsonValue& document = data.document;
  ASSIGN_OR_RETURN(auto vocabulary, BuildVocabulary(data));
  ASSIGN_OR_RETURN(BpeOptions model, ReadModelOptions(document, *vocabulary));
  ASSIGN_OR_RETURN(auto merges, BuildMerges(data, *vocabulary));
  BpeTokenizerParts parts;
  RETURN_IF_ERROR(
      ReadPreTokenizer(document.Find("pre_tokenizer"), &parts.pre_tokenizer, &model.byte_level));
  if (model.byte_level && model.byte_fallback) {
    return UnsupportedTokenizer("model.byte_fallback", "with ByteLevel");
  }
  RETURN_IF_ERROR(ReadNormalizer(document.Find("normalizer"), &parts.normalizer));
  RETURN_IF_ERROR(ReadDecoder(document.Find("decoder"), &parts.decoder));
  RETURN_IF_ERROR(ReadAddedTokens(document, &parts));
  parts.model = std::make_unique<BpeModel>(vocabulary.get(), std::move(merges), model);
  parts.vocabulary = std::move(vocabulary);
  RETURN_IF_ERROR(ReadPostProcessor(document.Find("post_processor"), &parts));
  parts.eos_token_ids = options.eos_token_ids;
  parts.bos_token_id = options.bos_token_id;
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace lamella
