// Packing for the AVX2 kernels. What is packed once (weights, adapters) may take its time; rows are
// packed in every step.
#include "server/kernels/avx2_kernels.h"
#include "server/kernels/avx2_tile.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels::avx2 {
namespace {

// RoundToBF16 of eight floats, each in the upper half of its 32 bits.
LAMELLA_KERNEL_INLINE __m256i RoundUpperHalves(__m256 values) {
  const __m256i bits = _mm256_castps_si256(values);
  const __m256i lowest = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_add_epi32(bits, _mm256_add_epi32(lowest, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet_nan = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(values, values, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, quiet_nan, is_nan);
}

// Stores the 16 elements of one packed tile row: columns 0-7 and 8-15.
LAMELLA_KERNEL_INLINE void Store16(__m256 low, __m256 high, float* out) {
  _mm256_storeu_ps(out, low);
  _mm256_storeu_ps(out + 8, high);
}
LAMELLA_KERNEL_INLINE void Store16(__m256 low, __m256 high, BF16* out) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u));
  const __m256i even = _mm256_srli_epi32(RoundUpperHalves(low), 16);
  const __m256i odd = _mm256_and_si256(RoundUpperHalves(high), mask);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_or_si256(even, odd));
}

// rows[c] holds eight depths of column c; afterwards rows[d] holds depth d of eight columns.
LAMELLA_KERNEL_INLINE void Transpose8(__m256 rows[8]) {
  __m256 pairs[8];
  __m256 quads[8];
  for (int32_t i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
  for (int32_t i = 0; i < 8; i += 4) {
    quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xee);
    quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xee);
  }
  for (int32_t i = 0; i < 4; ++i) {
    rows[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
    rows[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
  }
}

// Eight depths of 16 whole rows, as PackTile has them.
template <typename T>
LAMELLA_KERNEL_INLINE void PackBlock(const float* rows, int64_t stride, __m256 scale, T* out) {
  __m256 low[8];
  __m256 high[8];
  for (int32_t c = 0; c < 8; ++c) {
    low[c] = _mm256_mul_ps(_mm256_loadu_ps(rows + c * stride), scale);
    high[c] = _mm256_mul_ps(_mm256_loadu_ps(rows + (c + 8) * stride), scale);
  }
  Transpose8(low);
  Transpose8(high);
  for (int32_t d = 0; d < 8; ++d) Store16(low[d], high[d], out + d * kColumnTile);
}

// One tile: up to 16 rows of `depth` floats, `stride` apart, scaled; missing rows become zero.
template <typename T>
void PackTile(const float* rows, int64_t stride, int64_t count, int64_t depth, float scale,
              T* out) {
  int64_t k = 0;
  if (count == kColumnTile) {
    const __m256 scales = _mm256_set1_ps(scale);
    for (; k + 8 <= depth; k += 8) PackBlock(rows + k, stride, scales, out + k * kColumnTile);
  }
  for (; k < depth; ++k) {
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
    const float* in = a + j * k;
    T* out = static_cast<T*>(packed) + j * k;
    for (int64_t i = 0; i < full; i += kColumnTile) {
      Store16(_mm256_loadu_ps(in + i), _mm256_loadu_ps(in + i + 8), out + i);
    }
    for (int64_t i = full; i < k; ++i) Store(in[i], out + i);
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
