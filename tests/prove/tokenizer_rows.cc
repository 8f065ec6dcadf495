#include "tests/prove/tokenizer_rows.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "server/model/weight_source.h"
#include "server/tokenizer/gguf_tokenizer.h"
#include "server/tokenizer/tokenizer_json.h"
#include "tests/testing/real_base.h"

namespace lamella::prove {
namespace {

using TokenizerOr = absl::StatusOr<std::unique_ptr<Tokenizer>>;
using Ids = std::vector<int32_t>;

struct Vocabulary {
  const char* vectors;  // tests/golden/tokenizer_<vectors>.json
  const char* file;     // a tokenizer.json; null: the GGUF file of the demo base
  bool ignores_merges;  // Meta's own Llama 3.2 file differs from the one that ships by this
};

// Unpacked by the build, but for Llama's, whose licence keeps it out of the repository.
constexpr Vocabulary kVocabularies[] = {
    {"smollm2-135m-instruct", nullptr, false},
    {"smollm2-135m-instruct", "smollm2-135m-instruct", false},
    {"gemma-3-270m", nullptr, false},
    {"gpt2", "gpt2", false},
    {"qwen2.5", "qwen2.5", false},
    {"llama-3.2", "llama-3.2", false},
    {"llama-3.2-ignore-merges", "llama-3.2", true},
};

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return std::move(content).str();
}

std::string FilePath(const Vocabulary& vocabulary) {
  const std::string name = std::string(vocabulary.file) + ".json";
  const std::string unpacked = LAMELLA_TOKENIZERS_DIR "/" + name;
  if (std::filesystem::exists(unpacked)) return unpacked;
  const char* cache = std::getenv("LAMELLA_CACHE");
  const char* home = std::getenv("HOME");
  const std::string folder =
      cache != nullptr ? cache : std::string(home != nullptr ? home : "") + "/.cache/lamella";
  return folder + "/tokenizers/" + name;
}

TokenizerOr LoadFromGguf(const Vocabulary& vocabulary) {
  ASSIGN_OR_RETURN(const std::string path, testing::DemoModelPath(vocabulary.vectors));
  ASSIGN_OR_RETURN(const auto source, OpenWeightSource(path));
  ASSIGN_OR_RETURN(const GgufTokenizerData data, source->ReadGgufTokenizer());
  return TokenizerFromGguf(data);
}

// NOT_FOUND if the file is not on this machine.
TokenizerOr Load(const Vocabulary& vocabulary) {
  if (vocabulary.file == nullptr) return LoadFromGguf(vocabulary);
  const std::string path = FilePath(vocabulary);
  if (!std::filesystem::exists(path)) {
    return absl::NotFoundError("no " + path + ": scripts/setup.sh --model fetches it");
  }
  std::string json = ReadAll(path);
  if (vocabulary.ignores_merges) {
    constexpr std::string_view kOff = "\"ignore_merges\": false";
    const size_t at = json.find(kOff);
    if (at == std::string::npos) return absl::InvalidArgumentError("no ignore_merges in " + path);
    json.replace(at, kOff.size(), "\"ignore_merges\": true");
  }
  return LoadTokenizerJson(json, {});
}

bool Agrees(const Tokenizer& tokenizer, const nlohmann::json& vector) {
  const std::string text = vector["text"];
  // The reference finds special tokens in any text.
  const auto full = tokenizer.Encode(text, {.parse_special_tokens = true});
  const auto bare =
      tokenizer.Encode(text, {.add_special_tokens = false, .parse_special_tokens = true});
  return full.ok() && bare.ok() && full->ids == vector["ids"].get<Ids>() &&
         bare->ids == vector["ids_bare"].get<Ids>() &&
         tokenizer.Decode(bare->ids, false) == vector["decoded"].get<std::string>() &&
         tokenizer.Decode(full->ids, true) == vector["decoded_skip"].get<std::string>();
}

Row VocabularyRow(const Vocabulary& vocabulary, const std::string& figure,
                  const std::string& goal) {
  const TokenizerOr tokenizer = Load(vocabulary);
  if (absl::IsNotFound(tokenizer.status())) {
    return Row::NotRun(figure, goal, std::string(tokenizer.status().message()));
  }
  if (!tokenizer.ok()) return {figure, goal, tokenizer.status().ToString(), "FAIL"};
  const nlohmann::json document =
      nlohmann::json::parse(ReadAll(absl::StrFormat("%s/tests/golden/tokenizer_%s.json",
                                                    LAMELLA_SOURCE_DIR, vocabulary.vectors)),
                            nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return {figure, goal, "no vectors", "FAIL"};
  int different = 0;
  int count = 0;
  for (const nlohmann::json& vector : document["vectors"]) {
    ++count;
    if (!Agrees(**tokenizer, vector)) ++different;
  }
  return Row::Judge(figure, goal, absl::StrFormat("%d differences in %d strings", different, count),
                    count > 0 && different == 0);
}

}  // namespace

std::vector<Row> TokenizerRows(bool quick) {
  const std::string goal = "0 differences in ids and text";
  std::vector<Row> rows;
  for (const Vocabulary& vocabulary : kVocabularies) {
    const std::string figure = absl::StrFormat("tokenizer %s, %s", vocabulary.vectors,
                                               vocabulary.file ? "tokenizer.json" : "GGUF");
    rows.push_back(quick && !rows.empty() ? Row::NotRun(figure, goal, "not with --quick")
                                          : VocabularyRow(vocabulary, figure, goal));
  }
  return rows;
}

}  // namespace lamella::prove
