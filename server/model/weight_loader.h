// Brings a WeightSource into memory: decodes a few megabytes of fp32 at a time and packs them for
// the kernel tables of layers and head. Nothing of the source is kept, so its file can be unmapped
// afterwards.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/kernels/fork_join_pool.h"
#include "server/kernels/kernel_table.h"
#include "server/model/model_weights.h"
#include "server/model/weight_source.h"

namespace lamella {

// `table` packs the layers, `head_table` (of the same ISA) embedding and head. Blocks until all is
// read; works on all of `pool`'s threads. The source's status if it cannot be read,
// RESOURCE_EXHAUSTED without memory.
absl::StatusOr<std::unique_ptr<const ModelWeights>> LoadModelWeights(
    const WeightSource& source, const kernels::KernelTable& table,
    const kernels::KernelTable& head_table, kernels::ForkJoinPool* pool);

}  // namespace lamella
