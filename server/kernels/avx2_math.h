// Vector functions for the AVX2 files. Internal to the room; included by AVX2 files only.
#pragma once

#include <immintrin.h>

#include "server/kernels/bf16.h"

namespace lamella::kernels::avx2 {

// exp(x) to about 1 ulp; 0 below -87.3, no more than exp(88), NaN for NaN. 2^n times a Taylor
// series for the rest, |rest| <= ln(2) / 2.
LAMELLA_KERNEL_INLINE __m256 Exp(__m256 x) {
  const __m256 lowest = _mm256_set1_ps(-87.3f);
  const __m256 underflow = _mm256_cmp_ps(x, lowest, _CMP_LT_OQ);
  // max and min return their second operand if one is NaN.
  const __m256 clamped = _mm256_min_ps(_mm256_set1_ps(88.0f), _mm256_max_ps(lowest, x));
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(clamped, _mm256_set1_ps(1.44269504f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // ln(2) in two parts: n times the first is exact.
  const __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(1.42860677e-6f),
                                    _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693145752f), clamped));
  __m256 sum = _mm256_set1_ps(1.0f / 5040.0f);
  sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f / 720.0f));
  sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f / 120.0f));
  sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f / 24.0f));
  sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f / 6.0f));
  sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(0.5f));
  sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f));
  sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0f));
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  const __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
  return _mm256_andnot_ps(underflow, _mm256_mul_ps(sum, power));
}

// All ones in the first `count` lanes, 0 <= count <= 8.
LAMELLA_KERNEL_INLINE __m256i FirstLanes(int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)), lane);
}

}  // namespace lamella::kernels::avx2
