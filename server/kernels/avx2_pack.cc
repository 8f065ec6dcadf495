// Packing for the AVX2 kernels. What is packed once (weights, adapters) may take its time; rows are
// packed in every step.
#include "server/kernels/avx2_kernels.h"
#include "server/kernels/avx2_tile.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels::avx2 {
namespace {

// One tile: up to 16 rows of `depth` floats, `stride` apart, scaled; missing rows become zero.
template <typename T>
void PackTile(const float* rows, int64_t stride, int64_t count, int64_t depth, float scale,
              T* out) {
  for (int64_t k = 0; k < depth; ++k) {
    for (int32_t c = 0; c < kColumnTile; ++c) {
      const float value = c < count ? rows[c * stride + k] * scale : 0.0f;
      Store(value, out + k * kColumnTile + Slot(c, T{}));
    }
  }
}

template <typename T>
void PackTiles(const float* rows, int64_t count, int64_t depth, float scale, T* out) {
  for (int64_t row = 0; row < count; row += kColumnTile) {
    const int64_t here = count - row < kColumnTile ? count - row : kColumnTile;
    PackTile(rows + row * depth, depth, here, depth, scale, out + row * depth);
  }
}

}  // namespace

template <typename T>
void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t /*n*/, int64_t k,
                void* packed) {
  PackTiles(w, rows, k, 1.0f, static_cast<T*>(packed) + row_begin * k);
}

template <typename T>
void UnpackRow(const void* packed, int64_t /*n*/, int64_t k, int64_t row, float* out) {
  const T* tile = static_cast<const T*>(packed) + row / kColumnTile * k * kColumnTile;
  const int32_t slot = Slot(static_cast<int32_t>(row % kColumnTile), T{});
  for (int64_t i = 0; i < k; ++i) out[i] = ToFloat(tile[i * kColumnTile + slot]);
}

template <typename T>
void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed) {
  PackTiles(b, n, rank, scale, static_cast<T*>(packed));
}

// A stays [rank][k]; only inside each 16 of k the order is the one that widens with a shift and a
// mask. What is left of k after the last full 16 keeps its order.
template <typename T>
void PackLoraA(const float* a, int64_t rank, int64_t k, void* packed) {
  const int64_t full = k - k % kColumnTile;
  for (int64_t j = 0; j < rank; ++j) {
    T* out = static_cast<T*>(packed) + j * k;
    for (int64_t i = 0; i < k; ++i) {
      const auto c = static_cast<int32_t>(i % kColumnTile);
      Store(a[j * k + i], out + (i < full ? i - c + Slot(c, T{}) : i));
    }
  }
}

void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
              int64_t tile_end, void* packed) {
  for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
    const RowTile part = SplitRows(rows, kMaxRows, tile);
    const float* in = x + part.begin * ldx;
    float* out = static_cast<float*>(packed) + part.begin * k;
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t r = 0; r < part.count; ++r) out[i * part.count + r] = in[r * ldx + i];
    }
  }
}

template void PackLinear<float>(const float*, int64_t, int64_t, int64_t, int64_t, void*);
template void PackLinear<BF16>(const float*, int64_t, int64_t, int64_t, int64_t, void*);
template void UnpackRow<float>(const void*, int64_t, int64_t, int64_t, float*);
template void UnpackRow<BF16>(const void*, int64_t, int64_t, int64_t, float*);
template void PackLoraA<float>(const float*, int64_t, int64_t, void*);
template void PackLoraA<BF16>(const float*, int64_t, int64_t, void*);
template void PackLoraB<float>(const float*, int64_t, int64_t, float, void*);
template void PackLoraB<BF16>(const float*, int64_t, int64_t, float, void*);

}  // namespace lamella::kernels::avx2
