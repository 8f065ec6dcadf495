// What the AVX512_BF16 file defines for its table: see KernelTable for the contracts. Serving dtype
// bfloat16 only. Internal to the room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "server/kernels/kernel_table.h"

namespace lamella::kernels::avx512bf16 {

inline constexpr int32_t kRowTile = 8;

// Activations are rounded to one bfloat16; two parts halve the peak. Measured with the portable
// twin, standard normal inputs, against float64 (error over root mean square of y, k = 2048):
//   one part   rms 1.8e-3, worst 5.6e-3
//   two parts  rms 2.6e-6, worst 9.0e-6
//   AVX2       rms 7.6e-7, worst 3.4e-6
// In whole models (activations of every linear layer and the KV cache rounded, the rest in float,
// recorded tokens, base model) the median logit error over that of transformers in bfloat16 is 0.44
// for SmolLM2-135M and 0.30 for gemma-3-270m with one part, 0.17 and 0.14 with two. Our limit is
// 0.5, so one part is enough.
inline constexpr int kActivationParts = 1;

size_t PackedLinearBytes(int64_t n, int64_t k);
void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                void* packed);
void UnpackRow(const void* packed, int64_t n, int64_t k, int64_t row, float* out);
size_t PackedRowsBytes(int64_t rows, int64_t k);
void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
              int64_t tile_end, void* packed);
void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed);
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end);

}  // namespace lamella::kernels::avx512bf16
