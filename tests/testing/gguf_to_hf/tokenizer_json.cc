#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/testing/gguf_to_hf/hf_json.h"

namespace lamella::testing {
namespace {

constexpr char kBlank[] = "\xE2\x96\x81";  // U+2581, SentencePiece's blank

Json AddedToken(size_t id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

Json BpeModel(bool byte_fallback) {
  Json model;
  model["type"] = "BPE";
  model["dropout"] = nullptr;
  model["unk_token"] = nullptr;
  model["continuing_subword_prefix"] = nullptr;
  model["end_of_word_suffix"] = nullptr;
  model["fuse_unk"] = byte_fallback;
  model["byte_fallback"] = byte_fallback;
  model["ignore_merges"] = false;
  return model;
}

// A SentencePiece vocabulary as pieces: blanks of user-defined tokens are spelled as pieces are.
class Pieces {
 public:
  explicit Pieces(const GgufTokenizerData& data) : data_(data), pieces_(data.tokens) {
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (data.token_types[i] == GgufTokenType::kUserDefined) {
        pieces_[i] = absl::StrReplaceAll(pieces_[i], {{" ", kBlank}});
      }
      ids_[pieces_[i]] = i;
    }
  }

  Json Vocabulary() const {
    Json vocabulary = Json::object();
    // Ids are distinct, so that members can be appended without looking for a duplicate.
    auto& members = vocabulary.get_ref<Json::object_t&>();
    for (size_t i = 0; i < pieces_.size(); ++i) {
      if (ids_.at(pieces_[i]) == i) members.push_back({pieces_[i], i});
    }
    return vocabulary;
  }

  Json AddedTokens() const {
    Json added = Json::array();
    for (size_t i = 0; i < pieces_.size(); ++i) {
      const bool control = data_.token_types[i] == GgufTokenType::kControl;
      const bool own = data_.token_types[i] == GgufTokenType::kUserDefined &&
                       pieces_[i].find(kBlank) == std::string::npos;
      if (control || own) added.push_back(AddedToken(i, pieces_[i], control));
    }
    return added;
  }

  // Every way to put a piece together from two others; the best scored piece first, and among the
  // ways of one piece the highest ids first.
  Json Merges() const {
    std::vector<Merge> merges;
    for (size_t i = 0; i < pieces_.size(); ++i) AppendMerges(i, &merges);
    std::stable_sort(merges.begin(), merges.end(),
                     [](const Merge& a, const Merge& b) { return a.score > b.score; });
    Json out = Json::array();
    for (const Merge& merge : merges) {
      out.push_back(Json::array({pieces_[merge.left], pieces_[merge.right]}));
    }
    return out;
  }

 private:
  struct Merge {
    float score;
    size_t left;
    size_t right;
  };

  void AppendMerges(size_t id, std::vector<Merge>* out) const {
    const GgufTokenType type = data_.token_types[id];
    const std::string_view piece = pieces_[id];
    if (type == GgufTokenType::kControl || type == GgufTokenType::kByte || ids_.at(piece) != id) {
      return;
    }
    const float score = type == GgufTokenType::kUserDefined ? 0.0F : data_.scores[id];
    const size_t begin = out->size();
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      if ((static_cast<unsigned char>(piece[cut]) & 0xC0U) == 0x80U)
        continue;  // inside a character
      const auto left = ids_.find(piece.substr(0, cut));
      const auto right = ids_.find(piece.substr(cut));
      if (left == ids_.end() || right == ids_.end()) continue;
      out->push_back({score, left->second, right->second});
    }
    std::sort(out->begin() + static_cast<ptrdiff_t>(begin), out->end(),
              [](const Merge& a, const Merge& b) {
                return std::pair(a.left, a.right) > std::pair(b.left, b.right);
              });
  }

  const GgufTokenizerData& data_;
  std::vector<std::string> pieces_;
  std::unordered_map<std::string_view, size_t> ids_;  // views into pieces_
};

std::string TokenOf(const GgufTokenizerData& data, int32_t id) {
  const auto i = static_cast<size_t>(id);
  return id >= 0 && i < data.tokens.size() ? data.tokens[i] : "";
}

Json BosProcessor(const GgufTokenizerData& data) {
  const std::string bos = TokenOf(data, data.bos_id);
  const auto special = [&](int type) {
    return Json{{"SpecialToken", {{"id", bos}, {"type_id", type}}}};
  };
  const auto sequence = [](const char* id, int type) {
    return Json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  Json out;
  out["type"] = "TemplateProcessing";
  out["single"] = Json::array({special(0), sequence("A", 0)});
  out["pair"] = Json::array({special(0), sequence("A", 0), special(1), sequence("B", 1)});
  out["special_tokens"][bos] = {
      {"id", bos}, {"ids", Json::array({data.bos_id})}, {"tokens", Json::array({bos})}};
  return out;
}

Json SentencePieceJson(const GgufTokenizerData& data) {
  const Pieces pieces(data);
  Json out;
  out["version"] = "1.0";
  out["truncation"] = nullptr;
  out["padding"] = nullptr;
  out["added_tokens"] = pieces.AddedTokens();
  out["normalizer"] = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kBlank}};
  out["pre_tokenizer"] = {{"type", "Split"},
                          {"pattern", {{"String", " "}}},
                          {"behavior", "MergedWithPrevious"},
                          {"invert", false}};
  out["post_processor"] = data.add_bos ? BosProcessor(data) : Json(nullptr);
  Json decoders = Json::array();
  decoders.push_back({{"type", "Replace"}, {"pattern", {{"String", kBlank}}}, {"content", " "}});
  decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  out["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
  Json model = BpeModel(true);
  model["unk_token"] = TokenOf(data, data.unk_id);
  model["vocab"] = pieces.Vocabulary();
  model["merges"] = pieces.Merges();
  out["model"] = std::move(model);
  return out;
}

Json ByteLevel(bool add_prefix_space) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", true}};
}

Json SmolLmJson(const GgufTokenizerData& data) {
  Json out;
  out["version"] = "1.0";
  out["truncation"] = nullptr;
  out["padding"] = nullptr;
  out["added_tokens"] = Json::array();
  Json model = BpeModel(false);
  model["vocab"] = Json::object();
  auto& vocabulary = model["vocab"].get_ref<Json::object_t&>();
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    vocabulary.push_back({data.tokens[i], i});
    if (data.token_types[i] != GgufTokenType::kControl) continue;
    out["added_tokens"].push_back(AddedToken(i, data.tokens[i], true));
  }
  model["merges"] = Json::array();
  for (const std::string& merge : data.merges) {
    const size_t blank = merge.find(' ', 1);
    model["merges"].push_back(Json::array({merge.substr(0, blank), merge.substr(blank + 1)}));
  }
  out["normalizer"] = nullptr;
  Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  out["pre_tokenizer"] = {{"type", "Sequence"},
                          {"pretokenizers", Json::array({std::move(digits), ByteLevel(false)})}};
  out["post_processor"] = nullptr;
  out["decoder"] = ByteLevel(true);
  out["model"] = std::move(model);
  return out;
}

}  // namespace

absl::StatusOr<Json> TokenizerJson(const GgufTokenizerData& data) {
  if (data.model == "llama" && data.scores.size() == data.tokens.size()) {
    return SentencePieceJson(data);
  }
  if (data.model == "gpt2" && data.pre == "smollm") return SmolLmJson(data);
  return absl::UnimplementedError(
      absl::StrCat("a vocabulary of model ", data.model, ", rule ", data.pre,
                   " cannot be converted: llama with scores, and gpt2 with rule smollm, can"));
}

Json TokenizerConfigJson(const ModelConfig& config, const GgufTokenizerData& data,
                         const Json& tokenizer) {
  Json out;
  out["add_bos_token"] = data.add_bos;
  out["add_eos_token"] = data.add_eos;
  out["add_prefix_space"] = data.add_space_prefix;
  out["bos_token"] = TokenOf(data, data.bos_id);
  out["eos_token"] = TokenOf(data, data.eos_id);
  out["unk_token"] = TokenOf(data, data.unk_id);
  out["pad_token"] = TokenOf(data, data.pad_id);
  out["clean_up_tokenization_spaces"] = false;
  out["model_max_length"] = config.max_position;
  out["tokenizer_class"] = data.model == "llama" ? "GemmaTokenizer" : "GPT2Tokenizer";
  if (!data.chat_template.empty()) out["chat_template"] = data.chat_template;
  Json added = Json::object();
  for (const Json& token : tokenizer["added_tokens"]) {
    Json entry = token;
    entry.erase("id");
    added[std::to_string(token["id"].get<int>())] = std::move(entry);
  }
  out["added_tokens_decoder"] = std::move(added);
  return out;
}

}  // namespace lamella::testing
