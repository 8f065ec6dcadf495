// What this machine can do at most, measured in the same run as the figures that are set beside it.
#pragma once

#include "server/kernels/fork_join_pool.h"
#include "server/kernels/kernel_table.h"

namespace lamella::bench {

// Bytes per second with which all threads of `pool` together read memory: the best of three passes
// over 256 MiB. No kernel that reads its weights once can be faster.
double ReadBandwidth(kernels::ForkJoinPool* pool);

// Operations per second (a multiplication and an addition are two) of the instruction that linear
// layers of `isa` and `weight_type` are made of, on registers alone and on all threads of `pool`:
// float fused multiply-add, or bfloat16 dot product. 0 if the ISA is not available.
double PeakFlops(kernels::ForkJoinPool* pool, kernels::Isa isa, kernels::WeightType weight_type);

}  // namespace lamella::bench
