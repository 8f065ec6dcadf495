// The arrays that one step computes in, sized once for the largest step: a steady decode allocates
// nothing. Rows that a step does not have are never read. One decoder owns it.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/model_weights.h"
#include "server/model/tensor_arena.h"

namespace lamella {

struct WorkspaceLimits {
  int32_t max_rows = 0;        // rows of a step
  int32_t max_logit_rows = 0;  // rows of a step whose logits are computed
  int32_t context_tokens = 0;  // positions are below it
  int32_t threads = 0;         // that compute at the same time
};

struct StepWorkspace {
  // Of a decoder over `weights`.
  static absl::StatusOr<StepWorkspace> Create(const ModelWeights& weights,
                                              const WorkspaceLimits& limits);

  int64_t q_size = 0;   // num_q_heads * head_dim
  int64_t kv_size = 0;  // num_kv_heads * head_dim

  float* hidden = nullptr;     // float [max_rows][hidden_size]: the residual stream
  float* normed = nullptr;     // float [max_rows][hidden_size]: input of q, k, v or gate, up
  float* q = nullptr;          // float [max_rows][q_size]
  float* k = nullptr;          // float [max_rows][kv_size]
  float* v = nullptr;          // float [max_rows][kv_size]
  float* attended = nullptr;   // float [max_rows][q_size]: input of o
  float* gate = nullptr;       // float [max_rows][intermediate_size]
  float* up = nullptr;         // float [max_rows][intermediate_size]
  float* activated = nullptr;  // float [max_rows][intermediate_size]: input of down
  float* branch = nullptr;     // float [max_rows][hidden_size]: output of o or down
  float* last = nullptr;       // float [max_logit_rows][hidden_size]: input of the head
  float* logits = nullptr;     // float [max_logit_rows][vocab_size]
  void* packed = nullptr;      // pack_rows' output for any of the inputs above

  // float [attention_scratch_floats] of one thread.
  float* attention_scratch(int32_t worker) const {
    return scratch_ + int64_t{worker} * scratch_stride_;
  }

 private:
  void LayOut(const ModelWeights& weights, const WorkspaceLimits& limits);

  TensorArena arena_;
  float* scratch_ = nullptr;
  int64_t scratch_stride_ = 0;
};

}  // namespace lamella
