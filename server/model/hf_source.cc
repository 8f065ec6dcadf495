#include "server/model/hf_source.h"

#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/json.h"
#include "common/formats/mapped_file.h"
#include "server/model/base_fingerprint.h"
#include "server/model/hf_config.h"

namespace lamella {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";
constexpr uint64_t kMaxConfigBytes = uint64_t{1} << 20;
constexpr uint64_t kMaxIndexBytes = uint64_t{16} << 20;
constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;

absl::StatusOr<std::string> ReadText(const std::string& folder, const char* name,
                                     uint64_t max_bytes) {
  ASSIGN_OR_RETURN(const auto file,
                   MappedFile::ReadCopy(absl::StrCat(folder, "/", name), max_bytes));
  const auto bytes = file->bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Empty if the folder has no such file.
absl::StatusOr<std::string> ReadTextIfThere(const std::string& folder, const char* name,
                                            uint64_t max_bytes) {
  auto text = ReadText(folder, name, max_bytes);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

absl::Status InvalidIndex(const std::string& field, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidConfigValue, field,
                   absl::StrCat(kIndexFile, ": ", message));
}

// A file of the folder itself: an index must not lead anywhere else.
bool IsPlainShardName(const std::string& name) {
  return name.ends_with(".safetensors") && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// What some writers leave beside the weights: a tied head, and tables that are computed anyway.
bool IsRedundant(const std::string& name, const ModelConfig& config) {
  return name.ends_with(".rotary_emb.inv_freq") ||
         (config.tie_word_embeddings && name == "lm_head.weight");
}

absl::Status CheckDtype(const SafetensorsTensor& tensor) {
  if (tensor.dtype == DType::kF32 || tensor.dtype == DType::kF16 || tensor.dtype == DType::kBF16) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kUnimplemented, reasons::kUnsupportedDtype, tensor.name,
                   absl::StrCat("tensor ", tensor.name, " is stored as ", tensor.dtype_name,
                                "; F32, F16 and BF16 can be read"));
}

}  // namespace

HfSource::HfSource(std::string folder) : folder_(std::move(folder)) {}

absl::StatusOr<std::unique_ptr<HfSource>> HfSource::Open(const std::string& folder) {
  auto source = std::unique_ptr<HfSource>(new HfSource(folder));
  RETURN_IF_ERROR(source->ReadConfig());
  RETURN_IF_ERROR(source->OpenShards());
  RETURN_IF_ERROR(source->BindTensors());
  ASSIGN_OR_RETURN(source->fingerprint_, ComputeBaseFingerprint(*source));
  return source;
}

absl::Status HfSource::ReadConfig() {
  ASSIGN_OR_RETURN(const std::string text, ReadText(folder_, "config.json", kMaxConfigBytes));
  ASSIGN_OR_RETURN(config_, ParseHfConfig(text));
  ASSIGN_OR_RETURN(const std::string generation,
                   ReadTextIfThere(folder_, "generation_config.json", kMaxConfigBytes));
  return generation.empty() ? absl::OkStatus() : ApplyGenerationConfig(generation, &config_);
}

// A single file wins over an index where a folder has both, as in transformers.
absl::Status HfSource::OpenShards() {
  const absl::Status single = OpenShard(kSingleFile);
  if (!absl::IsNotFound(single)) return single;
  ASSIGN_OR_RETURN(const std::string index, ReadTextIfThere(folder_, kIndexFile, kMaxIndexBytes));
  return index.empty() ? single : OpenIndex(index);
}

absl::Status HfSource::OpenIndex(std::string_view index_json) {
  JsonLimits limits;
  limits.max_bytes = kMaxIndexBytes;
  ASSIGN_OR_RETURN(const JsonValue index, ParseStrictJson(index_json, limits));
  ASSIGN_OR_RETURN(const JsonValue::Object* map, index.GetObject("weight_map"));
  std::map<std::string, std::vector<std::string>> tensors_of;  // by shard
  for (const JsonMember& member : *map) {
    const std::string* shard = member.value.AsString();
    if (shard == nullptr || !IsPlainShardName(*shard)) {
      return InvalidIndex(
          "weight_map", absl::StrCat("weight_map of ", member.key, " is ", member.value.Describe(),
                                     ", not the name of a .safetensors file"));
    }
    tensors_of[*shard].push_back(member.key);
  }
  for (const auto& [shard, names] : tensors_of) {
    RETURN_IF_ERROR(OpenShard(shard));
    for (const std::string& name : names) {
      if (shards_.back()->Find(name) == nullptr) return MissingTensor(name);
    }
  }
  return absl::OkStatus();
}

absl::Status HfSource::OpenShard(const std::string& name) {
  ASSIGN_OR_RETURN(auto file, MappedFile::Open(absl::StrCat(folder_, "/", name)));
  ASSIGN_OR_RETURN(auto shard,
                   SafetensorsFile::Open(std::move(file), SafetensorsLimits::BaseModel()));
  shards_.push_back(std::move(shard));
  return absl::OkStatus();
}

absl::Status HfSource::BindTensors() {
  std::map<std::string, const SafetensorsTensor*, std::less<>> stored;
  for (const auto& shard : shards_) {
    for (const SafetensorsTensor& tensor : shard->tensors()) {
      if (!stored.emplace(tensor.name, &tensor).second) {
        return MakeError(absl::StatusCode::kInvalidArgument, reasons::kDuplicateKey, tensor.name,
                         absl::StrCat("tensor ", tensor.name, " stands in two files"));
      }
    }
  }
  for (ExpectedTensor& expected : ExpectedTensors(config_)) {
    const auto it = stored.find(expected.name);
    if (it == stored.end()) return MissingTensor(expected.name);
    const SafetensorsTensor* tensor = it->second;
    RETURN_IF_ERROR(CheckShape(expected, tensor->shape));
    RETURN_IF_ERROR(CheckDtype(*tensor));
    stored_.push_back(tensor);
    stored.erase(it);
    table_.Add({std::move(expected.name), std::move(expected.shape), tensor->dtype_name});
  }
  for (const auto& [name, tensor] : stored) {
    if (!IsRedundant(name, config_)) return UnknownTensor(name);
  }
  return absl::OkStatus();
}

absl::Status HfSource::ReadRows(std::string_view hf_name, int64_t row_begin, int64_t row_end,
                                float* out) const {
  ASSIGN_OR_RETURN(const size_t i, table_.FindRows(hf_name, row_begin, row_end));
  RETURN_IF_ERROR(ReadAsFloat(*stored_[i], row_begin, row_end, out));
  if (config_.norm_plus_one && hf_name.ends_with("norm.weight")) {
    const int64_t count = (row_end - row_begin) * table_.infos()[i].columns();
    for (int64_t k = 0; k < count; ++k) out[k] += 1.0F;
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufTokenizerData> HfSource::ReadGgufTokenizer() const {
  return absl::FailedPreconditionError("a Hugging Face folder holds no GGUF vocabulary");
}

absl::StatusOr<HfTokenizerFiles> HfSource::ReadHfTokenizer() const {
  HfTokenizerFiles files;
  ASSIGN_OR_RETURN(files.tokenizer_json, ReadText(folder_, "tokenizer.json", kMaxTokenizerBytes));
  ASSIGN_OR_RETURN(files.tokenizer_config_json,
                   ReadTextIfThere(folder_, "tokenizer_config.json", kMaxIndexBytes));
  ASSIGN_OR_RETURN(files.generation_config_json,
                   ReadTextIfThere(folder_, "generation_config.json", kMaxConfigBytes));
  ASSIGN_OR_RETURN(files.chat_template,
                   ReadTextIfThere(folder_, "chat_template.jinja", kMaxConfigBytes));
  return files;
}

}  // namespace lamella
