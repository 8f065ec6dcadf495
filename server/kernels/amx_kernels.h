// What the AMX files define for their tables: see KernelTable for the contracts. Without quantization
// the serving dtype is bfloat16, and activations are split into the sum of two bfloat16. Internal
// to the room.
#pragma once

#include <cstddef>
#include <cstdint>

#include "server/kernels/kernel_table.h"

namespace lamella::kernels::amx {

inline constexpr int32_t kRowTile = 16;

size_t PackedLinearBytes(int64_t n, int64_t k);
void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                void* packed);
void UnpackRow(const void* packed, int64_t n, int64_t k, int64_t row, float* out);
size_t PackedRowsBytes(int64_t rows, int64_t k);
void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
              int64_t tile_end, void* packed);
void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed);
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end);

// On an int8 base, in a layout of its own; adapters of T.
size_t Int8LinearBytes(int64_t n, int64_t k);
void PackInt8Linear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                    void* packed);
void UnpackInt8Row(const void* packed, int64_t n, int64_t k, int64_t row, float* out);
size_t Int8RowsBytes(int64_t rows, int64_t k);
void PackInt8Rows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
                  int64_t tile_end, void* packed);
template <typename T>
void Int8Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end);

}  // namespace lamella::kernels::amx
