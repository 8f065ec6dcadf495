#include "server/model/step_workspace.h"

#include <algorithm>

#include "common/base/status_macros.h"

namespace lamella {

absl::StatusOr<StepWorkspace> StepWorkspace::Create(const ModelWeights& weights,
                                                    const WorkspaceLimits& limits) {
  StepWorkspace workspace;
  workspace.LayOut(weights, limits);  // measures
  ASSIGN_OR_RETURN(workspace.arena_, TensorArena::Reserve(workspace.arena_.used_bytes()));
  workspace.LayOut(weights, limits);
  return workspace;
}

void StepWorkspace::LayOut(const ModelWeights& weights, const WorkspaceLimits& limits) {
  const ModelConfig& config = weights.config;
  const int64_t rows = limits.max_rows;
  const int64_t width = config.hidden_size;
  const int64_t inner = config.intermediate_size;
  q_size = int64_t{config.num_q_heads} * config.head_dim;
  kv_size = int64_t{config.num_kv_heads} * config.head_dim;
  hidden = arena_.Take<float>(rows * width);
  normed = arena_.Take<float>(rows * width);
  q = arena_.Take<float>(rows * q_size);
  k = arena_.Take<float>(rows * kv_size);
  v = arena_.Take<float>(rows * kv_size);
  attended = arena_.Take<float>(rows * q_size);
  gate = arena_.Take<float>(rows * inner);
  up = arena_.Take<float>(rows * inner);
  activated = arena_.Take<float>(rows * inner);
  branch = arena_.Take<float>(rows * width);
  last = arena_.Take<float>(limits.max_logit_rows * width);
  logits = arena_.Take<float>(int64_t{limits.max_logit_rows} * config.vocab_size);
  packed = arena_.TakeBytes(
      std::max(weights.table->packed_rows_bytes(rows, std::max({width, q_size, inner})),
               weights.head_table->packed_rows_bytes(limits.max_logit_rows, width)));
  scratch_stride_ = static_cast<int64_t>(weights.table->attention_scratch_floats(
      config.num_q_heads, config.num_kv_heads, limits.context_tokens - 1));
  scratch_stride_ = (scratch_stride_ + 15) / 16 * 16;  // no cache line has two threads
  scratch_ = arena_.Take<float>(limits.threads * scratch_stride_);
}

}  // namespace lamella
