// Cosines and sines of rotary positions, one table per distinct RopeConfig of a model's layers.
// Rows are computed when a step first reaches their position and kept, so a long context costs
// memory only once it is used. The values depend on the position alone. One thread calls
// EnsurePositions; afterwards any thread may read.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/model_config.h"
#include "server/model/tensor_arena.h"

namespace lamella {

class RopeTables {
 public:
  // Room for positions [0, context_tokens).
  static absl::StatusOr<RopeTables> Create(const ModelConfig& config, int32_t context_tokens);

  // Makes rows [0, positions) valid; positions <= context_tokens.
  void EnsurePositions(int32_t positions);

  // float [head_dim / 2] each, for pairs (i, i + head_dim / 2).
  const float* Cos(int32_t layer, int32_t position) const {
    return tables_[layer_table_[layer]].cos + int64_t{position} * half_;
  }
  const float* Sin(int32_t layer, int32_t position) const {
    return tables_[layer_table_[layer]].sin + int64_t{position} * half_;
  }

 private:
  struct Table {
    std::vector<float> inverse_frequencies;  // float [head_dim / 2]
    float* cos = nullptr;                    // float [context_tokens][head_dim / 2]
    float* sin = nullptr;
  };

  TensorArena arena_;
  std::vector<Table> tables_;
  std::vector<size_t> layer_table_;  // [num_layers]: index into tables_
  int64_t half_ = 0;
  int32_t context_tokens_ = 0;
  int32_t ready_positions_ = 0;
};

}  // namespace lamella
