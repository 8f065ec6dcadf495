#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/model/gguf_config.h"

namespace lamella {
namespace {

absl::Status ReadId(const GgufFile& file, const char* key, int32_t* id) {
  if (!file.Has(key)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t value, file.GetInt(key, 0, std::numeric_limits<int32_t>::max()));
  *id = static_cast<int32_t>(value);
  return absl::OkStatus();
}

absl::Status ReadBool(const GgufFile& file, const char* key, bool* flag) {
  if (!file.Has(key)) return absl::OkStatus();
  ASSIGN_OR_RETURN(*flag, file.GetBool(key));
  return absl::OkStatus();
}

absl::Status ReadText(const GgufFile& file, const char* key, std::string* text) {
  if (!file.Has(key)) return absl::OkStatus();
  ASSIGN_OR_RETURN(*text, file.GetString(key));
  return absl::OkStatus();
}

absl::Status CheckLength(const char* key, size_t length, size_t tokens) {
  if (length == tokens) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, reasons::kShapeMismatch, key,
      absl::StrCat("GGUF: ", key, " has ", length, " entries for ", tokens, " tokens"));
}

absl::Status ReadVocabulary(const GgufFile& file, GgufTokenizerData* data) {
  ASSIGN_OR_RETURN(data->tokens, file.GetStrings("tokenizer.ggml.tokens"));
  if (file.Has("tokenizer.ggml.scores")) {
    ASSIGN_OR_RETURN(data->scores, file.GetFloats("tokenizer.ggml.scores"));
    RETURN_IF_ERROR(CheckLength("tokenizer.ggml.scores", data->scores.size(), data->tokens.size()));
  }
  data->token_types.assign(data->tokens.size(), GgufTokenType::kNormal);
  if (file.Has("tokenizer.ggml.token_type")) {
    ASSIGN_OR_RETURN(const auto types, file.GetInts("tokenizer.ggml.token_type"));
    RETURN_IF_ERROR(CheckLength("tokenizer.ggml.token_type", types.size(), data->tokens.size()));
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] < 0 || types[i] > static_cast<int64_t>(GgufTokenType::kByte)) {
        return MakeError(absl::StatusCode::kInvalidArgument, reasons::kMalformedHeader,
                         "tokenizer.ggml.token_type",
                         absl::StrCat("GGUF: tokenizer.ggml.token_type of token ", i, " is ",
                                      types[i], ", not in [0, 6]"));
      }
      data->token_types[i] = static_cast<GgufTokenType>(types[i]);
    }
  }
  if (file.Has("tokenizer.ggml.merges")) {
    ASSIGN_OR_RETURN(data->merges, file.GetStrings("tokenizer.ggml.merges"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufTokenizerData> ReadGgufTokenizerData(const GgufFile& file) {
  GgufTokenizerData data;
  ASSIGN_OR_RETURN(data.model, file.GetString("tokenizer.ggml.model"));
  RETURN_IF_ERROR(ReadText(file, "tokenizer.ggml.pre", &data.pre));
  RETURN_IF_ERROR(ReadText(file, "tokenizer.chat_template", &data.chat_template));
  RETURN_IF_ERROR(ReadVocabulary(file, &data));
  RETURN_IF_ERROR(ReadId(file, "tokenizer.ggml.bos_token_id", &data.bos_id));
  RETURN_IF_ERROR(ReadId(file, "tokenizer.ggml.eos_token_id", &data.eos_id));
  RETURN_IF_ERROR(ReadId(file, "tokenizer.ggml.eot_token_id", &data.eot_id));
  RETURN_IF_ERROR(ReadId(file, "tokenizer.ggml.unknown_token_id", &data.unk_id));
  RETURN_IF_ERROR(ReadId(file, "tokenizer.ggml.padding_token_id", &data.pad_id));
  data.add_bos = data.model == "llama";
  data.add_space_prefix = data.model == "llama";
  RETURN_IF_ERROR(ReadBool(file, "tokenizer.ggml.add_bos_token", &data.add_bos));
  RETURN_IF_ERROR(ReadBool(file, "tokenizer.ggml.add_eos_token", &data.add_eos));
  RETURN_IF_ERROR(ReadBool(file, "tokenizer.ggml.add_space_prefix", &data.add_space_prefix));
  return data;
}

}  // namespace lamella
