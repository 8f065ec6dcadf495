#include "tests/testing/gguf_to_hf/convert.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/bf16.h"
#include "server/model/weight_source.h"
#include "tests/testing/gguf_to_hf/hf_json.h"

namespace lamella::testing {
namespace {

constexpr int64_t kBatchBytes = int64_t{16} << 20;

absl::Status WriteFile(const std::filesystem::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (file) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", path.filename().string()));
}

// Length, JSON, data: tensors stand in the order of the source.
std::string SafetensorsHeader(const WeightSource& source) {
  Json header;
  header["__metadata__"]["format"] = "pt";
  int64_t offset = 0;
  for (const WeightInfo& info : source.tensors()) {
    const int64_t bytes = info.rows() * info.columns() * 2;
    header[info.name] = {
        {"dtype", "BF16"}, {"shape", info.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
}

absl::Status WriteTensor(const WeightSource& source, const WeightInfo& info, std::ofstream* file) {
  // Folders store gemma's norms as w where the source hands over 1 + w.
  const float shift =
      source.config().norm_plus_one && info.name.ends_with("norm.weight") ? 1.0F : 0.0F;
  const int64_t batch = std::max<int64_t>(1, kBatchBytes / 4 / info.columns());
  std::vector<float> values;
  std::vector<uint16_t> rounded;
  for (int64_t row = 0; row < info.rows(); row += batch) {
    const int64_t end = std::min(row + batch, info.rows());
    const auto count = static_cast<size_t>((end - row) * info.columns());
    values.resize(count);
    rounded.resize(count);
    RETURN_IF_ERROR(source.ReadRows(info.name, row, end, values.data()));
    for (size_t i = 0; i < count; ++i) rounded[i] = FloatToBf16(values[i] - shift);
    file->write(reinterpret_cast<const char*>(rounded.data()),
                static_cast<std::streamsize>(count * 2));
  }
  return absl::OkStatus();
}

absl::Status WriteWeights(const WeightSource& source, const std::filesystem::path& path) {
  std::ofstream file(path, std::ios::binary);
  file << SafetensorsHeader(source);
  for (const WeightInfo& info : source.tensors()) RETURN_IF_ERROR(WriteTensor(source, info, &file));
  file.close();
  return file ? absl::OkStatus() : absl::UnavailableError("cannot write model.safetensors");
}

}  // namespace

absl::Status ConvertGgufToHf(const std::string& gguf, const std::string& out_folder) {
  const std::filesystem::path folder(out_folder);
  ASSIGN_OR_RETURN(const auto source, OpenWeightSource(gguf));
  ASSIGN_OR_RETURN(const GgufTokenizerData vocabulary, source->ReadGgufTokenizer());
  ASSIGN_OR_RETURN(const Json config, ConfigJson(source->config(), vocabulary));
  ASSIGN_OR_RETURN(const Json tokenizer, TokenizerJson(vocabulary));
  const Json tokenizer_config = TokenizerConfigJson(source->config(), vocabulary, tokenizer);
  const Json generation = GenerationJson(source->config(), vocabulary);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  RETURN_IF_ERROR(WriteFile(folder / "config.json", config.dump(2)));
  RETURN_IF_ERROR(WriteFile(folder / "tokenizer.json", tokenizer.dump()));
  RETURN_IF_ERROR(WriteFile(folder / "tokenizer_config.json", tokenizer_config.dump(2)));
  RETURN_IF_ERROR(WriteFile(folder / "generation_config.json", generation.dump(2)));
  if (!vocabulary.chat_template.empty()) {
    RETURN_IF_ERROR(WriteFile(folder / "chat_template.jinja", vocabulary.chat_template));
  }
  return WriteWeights(*source, folder / "model.safetensors");
}

}  // namespace lamella::testing
