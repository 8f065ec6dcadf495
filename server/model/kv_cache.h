// The paged keys and values of all layers, in the layout that the attention kernels read
// (kernel_table.h). It knows neither sequences nor which block is free: tables come with the step.
// Blocks are written by kv_write before attention reads them. All of it is resident from the start: what
// a step writes for the first time would wait for the system's zeros, 2 MiB in each layer, and memory
// that is not there would be missed in the middle of answers. The executor owns it.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "server/kernels/fork_join_pool.h"
#include "server/kernels/kernel_table.h"
#include "server/model/model_config.h"
#include "server/model/tensor_arena.h"

namespace lamella {

class KvCache {
 public:
  // As many blocks as fit into `budget_bytes`, written with zeros by `pool`. INVALID_ARGUMENT
  // (OUT_OF_RANGE) if not one does.
  static absl::StatusOr<KvCache> Create(const ModelConfig& config,
                                        const kernels::KernelTable& table, int64_t budget_bytes,
                                        kernels::ForkJoinPool* pool);

  // Bytes of one block over all layers, keys and values.
  static int64_t BlockBytes(const ModelConfig& config, const kernels::KernelTable& table);

  int32_t num_blocks() const { return num_blocks_; }

  // As AttentionArgs says.
  void* keys(int32_t layer) const { return base_ + int64_t{layer} * 2 * plane_bytes_; }
  void* values(int32_t layer) const { return base_ + (int64_t{layer} * 2 + 1) * plane_bytes_; }

 private:
  TensorArena arena_;
  uint8_t* base_ = nullptr;
  int64_t plane_bytes_ = 0;  // keys (or values) of one layer
  int32_t num_blocks_ = 0;
};

}  // namespace lamella
