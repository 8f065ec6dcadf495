// What the AVX512 files define for their tables: see KernelTable for the contracts. Internal to the
// room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "server/kernels/kernel_table.h"

namespace lamella::kernels::avx512 {

inline constexpr int32_t kRowTile = 12;
// 11 rows times 2 column tiles reach 0.62 of the float peak, 8 times 3 reach 0.76.
inline constexpr int32_t kQuantizedRowTile = 8;

size_t PackedRowsBytes(int64_t rows, int64_t k);
void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
              int64_t tile_end, void* packed);
template <typename T>
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end);

// Serving dtype bfloat16; float weights and B are packed as AVX2's.
size_t PackedLinearBytes(int64_t n, int64_t k);
void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                void* packed);
void UnpackRow(const void* packed, int64_t n, int64_t k, int64_t row, float* out);
void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed);

template <typename T>
void PackLoraA(const float* a, int64_t rank, int64_t k, void* packed);
template <typename T>
void LoraShrink(const ShrinkArgs& args, int32_t rank_begin, int32_t rank_end);

// On a quantized base, for processors with AVX512_VNNI; weights are packed as everywhere.
template <typename Q>
size_t QuantizedRowsBytes(int64_t rows, int64_t k);
template <typename Q>
void PackQuantizedRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
                       int64_t tile_end, void* packed);
template <typename Q, typename T>
void QuantizedLinear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end);

}  // namespace lamella::kernels::avx512
