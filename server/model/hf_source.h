// A base model in a Hugging Face folder: config.json, and model.safetensors or the shards that
// model.safetensors.index.json names, held as memory maps. Gemma's norm weights, which such files
// store as w, are handed over as 1 + w. Immutable after opening: thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/formats/safetensors.h"
#include "server/model/weight_source.h"
#include "server/model/weight_table.h"

namespace lamella {

class HfSource : public WeightSource {
 public:
  // NOT_FOUND (MISSING_FILE) naming the file that the folder lacks.
  static absl::StatusOr<std::unique_ptr<HfSource>> Open(const std::string& folder);

  const ModelConfig& config() const override { return config_; }
  const std::vector<WeightInfo>& tensors() const override { return table_.infos(); }
  absl::Status ReadRows(std::string_view hf_name, int64_t row_begin, int64_t row_end,
                        float* out) const override;
  const std::string& fingerprint() const override { return fingerprint_; }
  TokenizerFormat tokenizer_format() const override { return TokenizerFormat::kHuggingFace; }
  absl::StatusOr<GgufTokenizerData> ReadGgufTokenizer() const override;
  absl::StatusOr<HfTokenizerFiles> ReadHfTokenizer() const override;

 private:
  explicit HfSource(std::string folder);
  absl::Status ReadConfig();
  absl::Status OpenShards();
  absl::Status OpenIndex(std::string_view index_json);
  absl::Status OpenShard(const std::string& name);
  absl::Status BindTensors();

  std::string folder_;
  ModelConfig config_;
  std::vector<std::shared_ptr<const SafetensorsFile>> shards_;
  WeightTable table_;
  std::vector<const SafetensorsTensor*> stored_;  // parallel to table_, in shards_
  std::string fingerprint_;
};

}  // namespace lamella
