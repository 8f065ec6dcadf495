// 16 floats in one register, as epilogue.h sees them. Internal to the room; included by files that
// are compiled for AVX512 only.
#pragma once

#include <immintrin.h>

#include "server/kernels/bf16.h"

namespace lamella::kernels::avx512 {

struct View {
  using F = __m512;
  static constexpr int kMostSums = 16;

  LAMELLA_KERNEL_INLINE F Zero() { return _mm512_setzero_ps(); }
  LAMELLA_KERNEL_INLINE F Load(const float* p) { return _mm512_loadu_ps(p); }
  LAMELLA_KERNEL_INLINE void Store(float* p, F value) { _mm512_storeu_ps(p, value); }
  LAMELLA_KERNEL_INLINE void StoreFirst(float* p, F value, int64_t count) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1u), value);
  }
  LAMELLA_KERNEL_INLINE F Broadcast(float value) { return _mm512_set1_ps(value); }
  LAMELLA_KERNEL_INLINE F Add(F a, F b) { return _mm512_add_ps(a, b); }
  LAMELLA_KERNEL_INLINE F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  LAMELLA_KERNEL_INLINE F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  LAMELLA_KERNEL_INLINE F Widen(const float* p) { return _mm512_loadu_ps(p); }
  LAMELLA_KERNEL_INLINE F Widen(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  LAMELLA_KERNEL_INLINE F Widen(const BF16* p) {
    return Widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
};

// A mask of the first `count` lanes.
LAMELLA_KERNEL_INLINE __mmask16 FirstLanes(int64_t count) {
  return static_cast<__mmask16>(count <= 0 ? 0 : count < 16 ? (1u << count) - 1u : 0xffffu);
}

// The largest magnitude of a row; NaN if there is one, since magnitudes are ordered as their bits.
LAMELLA_KERNEL_INLINE float LargestMagnitude(const float* x, int64_t count) {
  __m512i largest = _mm512_setzero_si512();
  for (int64_t i = 0; i < count; i += 16) {
    const __m512i bits = _mm512_maskz_loadu_epi32(FirstLanes(count - i), x + i);
    largest = _mm512_max_epu32(largest, _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff)));
  }
  return __builtin_bit_cast(float, _mm512_reduce_max_epu32(largest));
}

}  // namespace lamella::kernels::avx512
