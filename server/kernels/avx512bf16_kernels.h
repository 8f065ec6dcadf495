// What the AVX512_BF16 file puts into its table: linear layers of the serving dtype bfloat16. Internal to the room.
#pragma once

#include <cstdint>

#include "server/kernels/kernel_table.h"

namespace lamella::kernels::avx512bf16 {

inline constexpr int32_t kRowTile = 8;

// Measured with the portable twin, standard normal inputs, against float64 (error over root mean
// square of y, k = 2048):
//   kMedium  rms 1.8e-3, worst 5.6e-3
//   kHigh    rms 2.6e-6, worst 9.0e-6
//   AVX2     rms 7.6e-7, worst 3.4e-6
// In whole models (activations of every linear layer and the KV cache rounded, the rest in float,
// recorded tokens, base model) the median logit error over that of transformers in bfloat16 is 0.44
// for SmolLM2-135M and 0.30 for gemma-3-270m with kMedium, 0.17 and 0.14 with kHigh, which halves the
// peak. Our limit is 0.5, so kMedium is what is served unless kHigh is asked for.
//
// Call it only where the processor has the instructions.
void SetLinear(MatmulPrecision precision, KernelTable* table);

}  // namespace lamella::kernels::avx512bf16
