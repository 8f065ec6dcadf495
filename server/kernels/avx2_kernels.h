// What the AVX2 files define for the tables: see KernelTable for the contracts. T is the serving
// dtype, float or BF16. Internal to the room.
#pragma once

#include "server/kernels/bf16.h"
#include "server/kernels/kernel_table.h"

namespace lamella::kernels::avx2 {

template <typename T>
void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                void* packed);
template <typename T>
void UnpackRow(const void* packed, int64_t n, int64_t k, int64_t row, float* out);
void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
              int64_t tile_end, void* packed);
template <typename T>
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end);

// The same on a quantized base: Q is Int8Groups or Int4Groups (quantized.h), T the dtype of adapters.
template <typename Q>
size_t QuantizedRowsBytes(int64_t rows, int64_t k);
template <typename Q>
void PackQuantizedRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
                       int64_t tile_end, void* packed);
template <typename Q, typename T>
void QuantizedLinear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end);

template <typename T>
void PackLoraA(const float* a, int64_t rank, int64_t k, void* packed);
template <typename T>
void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed);
template <typename T>
void LoraShrink(const ShrinkArgs& args, int32_t rank_begin, int32_t rank_end);

template <typename T>
void KvWrite(const KvWriteArgs& args, int64_t row_begin, int64_t row_end);
template <typename T>
size_t AttentionScratchFloats(int32_t q_heads, int32_t kv_heads, int32_t max_position);
template <typename T>
void Attention(const AttentionArgs& args, int64_t task_begin, int64_t task_end, float* scratch);

void RmsNorm(const float* x, int64_t ldx, int64_t rows, int64_t dim, const float* weight, float eps,
             float* y, int64_t ldy);
void Rope(float* x, int64_t ldx, int64_t rows, int32_t heads, int32_t head_dim, const float* cos,
          const float* sin);
void Add(float* x, const float* y, int64_t count);
void SiluMul(const float* gate, const float* up, float* out, int64_t count);
void GeluTanhMul(const float* gate, const float* up, float* out, int64_t count);

}  // namespace lamella::kernels::avx2
