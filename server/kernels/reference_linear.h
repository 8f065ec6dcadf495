// Reference kernels of the linear layers: plain C++, the oracle of every other ISA. Sums run in
// double, k and then rank ascending. Internal to the room.
#pragma once

#include <algorithm>
#include <cstring>

#include "server/kernels/bf16.h"
#include "server/kernels/kernel_table.h"
#include "server/kernels/quantized.h"

namespace lamella::kernels::reference {

// Packed weights: [ceil(n / 16)][k][16].
inline int64_t PackedIndex(int64_t row, int64_t k, int64_t depth) {
  return (row / kColumnTile * depth + k) * kColumnTile + row % kColumnTile;
}

template <typename T>
size_t PackedLinearBytes(int64_t n, int64_t k) {
  return static_cast<size_t>(CeilDiv(n, kColumnTile) * kColumnTile * k) * sizeof(T);
}

template <typename T>
void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                void* packed) {
  T* out = static_cast<T*>(packed);
  const int64_t row_end = row_begin + rows;
  const int64_t padded_end = row_end == n ? CeilDiv(n, kColumnTile) * kColumnTile : row_end;
  for (int64_t row = row_begin; row < padded_end; ++row) {
    for (int64_t i = 0; i < k; ++i) {
      Store(row < row_end ? w[(row - row_begin) * k + i] : 0.0f, &out[PackedIndex(row, i, k)]);
    }
  }
}

template <typename T>
void UnpackRow(const void* packed, int64_t /*n*/, int64_t k, int64_t row, float* out) {
  const T* in = static_cast<const T*>(packed);
  for (int64_t i = 0; i < k; ++i) out[i] = ToFloat(in[PackedIndex(row, i, k)]);
}

// Activations are copied row by row: a row tile is one row.
inline size_t PackedRowsBytes(int64_t rows, int64_t k) {
  return static_cast<size_t>(rows * k) * sizeof(float);
}

inline void PackRows(const float* x, int64_t ldx, int64_t /*rows*/, int64_t k, int64_t tile_begin,
                     int64_t tile_end, void* packed) {
  float* out = static_cast<float*>(packed);
  for (int64_t row = tile_begin; row < tile_end; ++row) {
    std::memcpy(out + row * k, x + row * ldx, static_cast<size_t>(k) * sizeof(float));
  }
}

inline const LoraTerm* FindTerm(const LinearArgs& args, int64_t row) {
  for (int32_t i = 0; i < args.lora_count; ++i) {
    if (row >= args.lora[i].row_begin && row < args.lora[i].row_end) return &args.lora[i];
  }
  return nullptr;
}

// sum[c] += sum_i x[i] * w[i][c] over one packed tile.
template <typename T>
void AccumulateTile(const float* x, const T* w, int64_t depth, double* sum) {
  for (int64_t i = 0; i < depth; ++i) {
    for (int32_t c = 0; c < kColumnTile; ++c) {
      sum[c] += static_cast<double>(x[i]) * static_cast<double>(ToFloat(w[i * kColumnTile + c]));
    }
  }
}

// Bias, low-rank terms and the store of one row of one tile.
template <typename T>
void FinishTile(const LinearArgs& args, int64_t row, int64_t tile, double* sum) {
  const int64_t column = tile * kColumnTile;
  const int64_t columns = std::min<int64_t>(kColumnTile, args.n - column);
  for (int64_t c = 0; args.bias != nullptr && c < columns; ++c) sum[c] += args.bias[column + c];
  if (const LoraTerm* term = FindTerm(args, row); term != nullptr) {
    const T* b = static_cast<const T*>(term->b) + tile * term->rank * kColumnTile;
    AccumulateTile(term->v + row * term->ldv, b, term->rank, sum);
  }
  float* y = args.y + row * args.ldy + column;
  for (int64_t c = 0; c < columns; ++c) y[c] = static_cast<float>(sum[c]);
}

template <typename T>
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
    const T* w = static_cast<const T*>(args.packed_w) + tile * args.k * kColumnTile;
    for (int64_t row = 0; row < args.rows; ++row) {
      double sum[kColumnTile] = {};
      AccumulateTile(static_cast<const float*>(args.packed_x) + row * args.k, w, args.k, sum);
      FinishTile<T>(args, row, tile, sum);
    }
  }
}

// sum[c] += sum_i x[i] * w[i][c] over `count` values of one packed group.
template <typename Q>
void AccumulateGroup(const float* x, const uint8_t* group, int64_t count, double* sum) {
  float w[Q::kGroup];
  for (int32_t c = 0; c < kColumnTile; ++c) {
    // A group is packed as a matrix with one group in each row is.
    UnpackQuantizedRow<Q>(group, kColumnTile, Q::kGroup, c, w);
    for (int64_t i = 0; i < count; ++i) {
      sum[c] += static_cast<double>(x[i]) * static_cast<double>(w[i]);
    }
  }
}

// On a quantized base: the weights as unpack_row gives them, activations as they are.
template <typename Q, typename T>
void QuantizedLinear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
    const uint8_t* w = static_cast<const uint8_t*>(args.packed_w) + tile * TileBytes<Q>(args.k);
    for (int64_t row = 0; row < args.rows; ++row) {
      const float* x = static_cast<const float*>(args.packed_x) + row * args.k;
      double sum[kColumnTile] = {};
      for (int64_t g = 0; g < GroupsOf<Q>(args.k); ++g) {
        AccumulateGroup<Q>(x + g * Q::kGroup, w + g * kGroupBytes<Q>,
                           std::min(Q::kGroup, args.k - g * Q::kGroup), sum);
      }
      FinishTile<T>(args, row, tile, sum);
    }
  }
}

template <typename T>
size_t LoraABytes(int64_t rank, int64_t k) {
  return static_cast<size_t>(rank * k) * sizeof(T);
}

template <typename T>
void PackLoraA(const float* a, int64_t rank, int64_t k, void* packed) {
  for (int64_t i = 0; i < rank * k; ++i) Store(a[i], static_cast<T*>(packed) + i);
}

// B is packed as the base's weights are, with depth = rank, so that one tile of both meets in one
// accumulator.
template <typename T>
void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed) {
  T* out = static_cast<T*>(packed);
  for (int64_t row = 0; row < CeilDiv(n, kColumnTile) * kColumnTile; ++row) {
    for (int64_t r = 0; r < rank; ++r) {
      Store(row < n ? b[row * rank + r] * scale : 0.0f, &out[PackedIndex(row, r, rank)]);
    }
  }
}

template <typename T>
void LoraShrink(const ShrinkArgs& args, int32_t rank_begin, int32_t rank_end) {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.ldx;
    for (int64_t j = rank_begin; j < rank_end; ++j) {
      const T* a = static_cast<const T*>(args.a) + j * args.k;
      double sum = 0;
      for (int64_t i = 0; i < args.k; ++i) {
        sum += static_cast<double>(x[i]) * static_cast<double>(ToFloat(a[i]));
      }
      args.v[row * args.ldv + j] = static_cast<float>(sum);
    }
  }
}

}  // namespace lamella::kernels::reference
