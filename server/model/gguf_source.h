// A base model in one GGUF file, held as a memory map and decoded row by row on every read.
// Tensors are renamed to Hugging Face's names, and the rows of the llama family's q and k, which
// the file interleaves for rotary pairs, are put back in half-split order. Gemma's norm weights
// stand as 1 + w in the file already. Immutable after opening: thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/formats/gguf.h"
#include "server/model/weight_source.h"
#include "server/model/weight_table.h"

namespace lamella {

class GgufSource : public WeightSource {
 public:
  // NOT_FOUND (MISSING_FILE) if there is no such file.
  static absl::StatusOr<std::unique_ptr<GgufSource>> Open(const std::string& path);

  // `owner` keeps `bytes` alive.
  static absl::StatusOr<std::unique_ptr<GgufSource>> FromBytes(std::span<const uint8_t> bytes,
                                                               std::shared_ptr<const void> owner);

  const ModelConfig& config() const override { return config_; }
  const std::vector<WeightInfo>& tensors() const override { return table_.infos(); }
  absl::Status ReadRows(std::string_view hf_name, int64_t row_begin, int64_t row_end,
                        float* out) const override;
  const std::string& fingerprint() const override { return fingerprint_; }
  TokenizerFormat tokenizer_format() const override { return TokenizerFormat::kGguf; }
  absl::StatusOr<GgufTokenizerData> ReadGgufTokenizer() const override;
  absl::StatusOr<HfTokenizerFiles> ReadHfTokenizer() const override;

  const GgufFile& file() const { return file_; }

 private:
  struct Stored {
    const GgufTensor* tensor = nullptr;  // in file_
    int64_t interleaved_rows = 0;        // rows of a head if they are interleaved, else 0
  };

  GgufSource(GgufFile file, std::shared_ptr<const void> owner);
  absl::Status BindTensors();

  std::shared_ptr<const void> owner_;
  GgufFile file_;
  ModelConfig config_;
  WeightTable table_;
  std::vector<Stored> stored_;  // parallel to table_
  std::string fingerprint_;
};

}  // namespace lamella
