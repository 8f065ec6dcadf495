// The one register kernel of the AVX2 tables: a few rows of x times a few 16-column tiles, every
// output element one fused multiply-add chain over k ascending. Linear layers, low-rank terms,
// attention scores and weighted values all run on it. Internal to the room; included by AVX2 files
// only, so nothing here instantiates library code or has external linkage.
#pragma once

#include <immintrin.h>

#include "server/kernels/bf16.h"
#include "server/kernels/epilogue.h"
#include "server/kernels/kernel_table.h"

namespace lamella::kernels::avx2 {

// Most rows in one register tile: 6 x 16 columns fill 12 of 16 registers.
inline constexpr int32_t kMaxRows = 6;

// Place of column c in the 16 elements of a packed tile row. bfloat16 is stored so that the even
// elements are columns 0-7 and the odd ones 8-15: a shift widens the former and a mask the latter.
LAMELLA_KERNEL_INLINE int32_t Slot(int32_t c, float /*tag*/) { return c; }
LAMELLA_KERNEL_INLINE int32_t Slot(int32_t c, int8_t /*tag*/) { return c; }
LAMELLA_KERNEL_INLINE int32_t Slot(int32_t c, BF16 /*tag*/) { return c < 8 ? 2 * c : 2 * c - 15; }

struct Vec16 {
  __m256 lo;  // columns 0-7
  __m256 hi;  // columns 8-15
};

LAMELLA_KERNEL_INLINE Vec16 Load16(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

LAMELLA_KERNEL_INLINE Vec16 Load16(const BF16* p) {
  const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i mask = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(raw, 16)),
          _mm256_castsi256_ps(_mm256_and_si256(raw, mask))};
}

LAMELLA_KERNEL_INLINE Vec16 Load16(const int8_t* p) {
  const __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(raw)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(raw, raw)))};
}

// The view of 16 floats that the epilogue works with.
struct View16 {
  using F = Vec16;
  static constexpr int kMostSums = 4;

  LAMELLA_KERNEL_INLINE F Load(const float* p) { return Load16(p); }
  LAMELLA_KERNEL_INLINE void Store(float* p, F value) {
    _mm256_storeu_ps(p, value.lo);
    _mm256_storeu_ps(p + 8, value.hi);
  }
  LAMELLA_KERNEL_INLINE F Broadcast(float value) {
    return {_mm256_set1_ps(value), _mm256_set1_ps(value)};
  }
  LAMELLA_KERNEL_INLINE F Fma(F a, F b, F c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  template <typename T>
  LAMELLA_KERNEL_INLINE F Widen(const T* p) {
    return Load16(p);
  }
};

// R rows x C tiles of 16 columns.
template <int R, int C>
struct Tile {
  __m256 lo[R][C];
  __m256 hi[R][C];
};

template <int R, int C>
LAMELLA_KERNEL_INLINE void Clear(Tile<R, C>& acc) {
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) {
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) acc.lo[r][c] = acc.hi[r][c] = _mm256_setzero_ps();
  }
}

// Element (row, k) of x is at data[row * row_stride + k * step].
struct XView {
  const float* data;
  int64_t row_stride;
  int64_t step;
};

// acc[r][c] += x(r, k) * w[c][k * w_step ...+16] for one k. With kAhead > 0 it also asks for the
// bytes of w so far ahead.
template <typename T, int R, int C, int kAhead = 0>
LAMELLA_KERNEL_INLINE void AccumulateStep(const XView& x, const T* const (&w)[C], int64_t w_step,
                                          int64_t k, Tile<R, C>& acc) {
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) {
    const Vec16 column = Load16(w[c] + k * w_step);
    if constexpr (kAhead > 0) {
      _mm_prefetch(reinterpret_cast<const char*>(w[c] + k * w_step) + kAhead, _MM_HINT_T0);
    }
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m256 value = _mm256_broadcast_ss(x.data + r * x.row_stride + k * x.step);
      acc.lo[r][c] = _mm256_fmadd_ps(value, column.lo, acc.lo[r][c]);
      acc.hi[r][c] = _mm256_fmadd_ps(value, column.hi, acc.hi[r][c]);
    }
  }
}

// AccumulateStep for k ascending from 0 to depth.
template <typename T, int R, int C>
LAMELLA_KERNEL_INLINE void Accumulate(const XView& x, const T* const (&w)[C], int64_t w_step,
                                      int64_t depth, Tile<R, C>& acc) {
  for (int64_t k = 0; k < depth; ++k) AccumulateStep<T, R, C>(x, w, w_step, k, acc);
}

// Fixed tree: lanes 4 apart, then 2, then 1.
LAMELLA_KERNEL_INLINE float ReduceAdd(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// One more link of a chain in scalar code.
LAMELLA_KERNEL_INLINE float FusedMultiplyAdd(float a, float b, float c) {
  return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
}

}  // namespace lamella::kernels::avx2
