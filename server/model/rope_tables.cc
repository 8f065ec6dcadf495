#include "server/model/rope_tables.h"

#include <algorithm>
#include <cmath>

#include "common/base/status_macros.h"

namespace lamella {
namespace {

// Rows are filled in runs, so that steady decode seldom comes here.
constexpr int32_t kFillPositions = 64;

}  // namespace

absl::StatusOr<RopeTables> RopeTables::Create(const ModelConfig& config, int32_t context_tokens) {
  RopeTables result;
  result.half_ = config.head_dim / 2;
  result.context_tokens_ = context_tokens;
  std::vector<RopeConfig> distinct;
  for (const LayerConfig& layer : config.layers) {
    const auto found = std::find(distinct.begin(), distinct.end(), layer.rope);
    result.layer_table_.push_back(static_cast<size_t>(found - distinct.begin()));
    if (found == distinct.end()) distinct.push_back(layer.rope);
  }
  const int64_t floats = int64_t{context_tokens} * result.half_;
  const auto tables = static_cast<int64_t>(distinct.size());
  ASSIGN_OR_RETURN(result.arena_,
                   TensorArena::Reserve(tables * 2 * (floats * int64_t{sizeof(float)} + 64)));
  for (const RopeConfig& rope : distinct) {
    Table table;
    table.inverse_frequencies = RopeInverseFrequencies(rope, config.head_dim);
    table.cos = result.arena_.Take<float>(floats);
    table.sin = result.arena_.Take<float>(floats);
    result.tables_.push_back(std::move(table));
  }
  return result;
}

void RopeTables::EnsurePositions(int32_t positions) {
  if (positions <= ready_positions_) return;
  const int32_t end =
      std::min(context_tokens_, (positions + kFillPositions - 1) / kFillPositions * kFillPositions);
  for (Table& table : tables_) {
    for (int64_t p = ready_positions_; p < end; ++p) {
      for (int64_t i = 0; i < half_; ++i) {
        // The product is rounded to fp32 as the reference libraries do; its cosine is exact.
        const float angle = static_cast<float>(p) * table.inverse_frequencies[i];
        table.cos[p * half_ + i] = static_cast<float>(std::cos(static_cast<double>(angle)));
        table.sin[p * half_ + i] = static_cast<float>(std::sin(static_cast<double>(angle)));
      }
    }
  }
  ready_positions_ = end;
}

}  // namespace lamella
