// The shrink of low-rank adapters, v = x A^T, on AVX512. A register block is up to 4 rank rows by 3
// rows of x, with two registers of 16 lanes over k for each: they sum k = l and l + 16 of every full
// 32, what is left of k joins them, and one fixed tree joins all lanes.
#include "server/kernels/avx512_kernels.h"
#include "server/kernels/avx512_view.h"
#include "server/kernels/epilogue.h"

namespace lamella::kernels::avx512 {
namespace {

constexpr int kRankBlock = 4;
constexpr int kRowBlock = 3;
constexpr int64_t kStep = 32;  // of k

struct Vec32 {
  __m512 low;   // the first 16 of k
  __m512 high;  // the next
};

LAMELLA_KERNEL_INLINE Vec32 Load32(const float* p) {
  return {_mm512_loadu_ps(p), _mm512_loadu_ps(p + 16)};
}
// Stored so that the even elements are the first 16: a shift widens these and a mask the others.
LAMELLA_KERNEL_INLINE Vec32 Load32(const BF16* p) {
  const __m512i raw = _mm512_loadu_si512(p);
  const __m512i mask = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(raw, 16)),
          _mm512_castsi512_ps(_mm512_and_si512(raw, mask))};
}

// The first `count` of 16, at least 1; zeros beyond.
LAMELLA_KERNEL_INLINE __m512 LoadFirst(const float* p, int64_t count) {
  return _mm512_maskz_loadu_ps(FirstLanes(count), p);
}
LAMELLA_KERNEL_INLINE __m512 LoadFirst(const BF16* p, int64_t count) {
  const __m512i raw = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(FirstLanes(count), p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(raw, 16));
}

LAMELLA_KERNEL_INLINE float ReduceAdd(__m512 v) {
  const __m512 eight = _mm512_add_ps(v, _mm512_shuffle_f32x4(v, v, 0x4e));
  const __m512 four = _mm512_add_ps(eight, _mm512_shuffle_f32x4(eight, eight, 0xb1));
  const __m128 one = _mm512_castps512_ps128(four);
  const __m128 two = _mm_add_ps(one, _mm_movehl_ps(one, one));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

template <typename T, int J, int R>
void ShrinkBlock(const ShrinkArgs& args, int64_t row, int64_t rank) {
  const T* a = static_cast<const T*>(args.a) + rank * args.k;
  const float* x = args.x + row * args.ldx;
  const int64_t full = args.k - args.k % kStep;
  Vec32 acc[J][R];
  LAMELLA_UNROLL
  for (int j = 0; j < J; ++j) {
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) acc[j][r] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  }
  for (int64_t k = 0; k < full; k += kStep) {
    LAMELLA_UNROLL
    for (int j = 0; j < J; ++j) {
      const Vec32 w = Load32(a + j * args.k + k);
      LAMELLA_UNROLL
      for (int r = 0; r < R; ++r) {
        const float* at = x + r * args.ldx + k;
        acc[j][r].low = _mm512_fmadd_ps(w.low, _mm512_loadu_ps(at), acc[j][r].low);
        acc[j][r].high = _mm512_fmadd_ps(w.high, _mm512_loadu_ps(at + 16), acc[j][r].high);
      }
    }
  }
  LAMELLA_UNROLL
  for (int j = 0; j < J; ++j) {
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      __m512 sum = _mm512_add_ps(acc[j][r].low, acc[j][r].high);
      for (int64_t k = full; k < args.k; k += 16) {
        sum = _mm512_fmadd_ps(LoadFirst(a + j * args.k + k, args.k - k),
                              LoadFirst(x + r * args.ldx + k, args.k - k), sum);
      }
      args.v[(row + r) * args.ldv + rank + j] = ReduceAdd(sum);
    }
  }
}

template <typename T, int J>
void ShrinkRows(const ShrinkArgs& args, int64_t rank) {
  int64_t row = args.row_begin;
  for (; row + kRowBlock <= args.row_end; row += kRowBlock) {
    ShrinkBlock<T, J, kRowBlock>(args, row, rank);
  }
  if (args.row_end - row == 2) ShrinkBlock<T, J, 2>(args, row, rank);
  if (args.row_end - row == 1) ShrinkBlock<T, J, 1>(args, row, rank);
}

// RoundToBF16 of 16 floats, each in the upper half of its 32 bits.
LAMELLA_KERNEL_INLINE __m512i RoundUpperHalves(__m512 values) {
  const __m512i bits = _mm512_castps_si512(values);
  const __m512i lowest = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_add_epi32(bits, _mm512_add_epi32(lowest, _mm512_set1_epi32(0x7fff)));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
}

// Stores 32 of k as Load32 reads them.
LAMELLA_KERNEL_INLINE void Store32(const float* in, float* out) {
  _mm512_storeu_ps(out, _mm512_loadu_ps(in));
  _mm512_storeu_ps(out + 16, _mm512_loadu_ps(in + 16));
}
LAMELLA_KERNEL_INLINE void Store32(const float* in, BF16* out) {
  const __m512i mask = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
  const __m512i even = _mm512_srli_epi32(RoundUpperHalves(_mm512_loadu_ps(in)), 16);
  const __m512i odd = _mm512_and_si512(RoundUpperHalves(_mm512_loadu_ps(in + 16)), mask);
  _mm512_storeu_si512(out, _mm512_or_si512(even, odd));
}

}  // namespace

template <typename T>
void LoraShrink(const ShrinkArgs& args, int32_t rank_begin, int32_t rank_end) {
  int64_t rank = rank_begin;
  for (; rank + kRankBlock <= rank_end; rank += kRankBlock) ShrinkRows<T, kRankBlock>(args, rank);
  if (rank_end - rank == 3) ShrinkRows<T, 3>(args, rank);
  if (rank_end - rank == 2) ShrinkRows<T, 2>(args, rank);
  if (rank_end - rank == 1) ShrinkRows<T, 1>(args, rank);
}

// A stays [rank][k]; only inside each full 32 of k the order is the one of Load32.
template <typename T>
void PackLoraA(const float* a, int64_t rank, int64_t k, void* packed) {
  const int64_t full = k - k % kStep;
  for (int64_t j = 0; j < rank; ++j) {
    const float* in = a + j * k;
    T* out = static_cast<T*>(packed) + j * k;
    for (int64_t i = 0; i < full; i += kStep) Store32(in + i, out + i);
    for (int64_t i = full; i < k; ++i) Store(in[i], out + i);
  }
}

template void LoraShrink<float>(const ShrinkArgs&, int32_t, int32_t);
template void LoraShrink<BF16>(const ShrinkArgs&, int32_t, int32_t);
template void PackLoraA<float>(const float*, int64_t, int64_t, void*);
template void PackLoraA<BF16>(const float*, int64_t, int64_t, void*);

}  // namespace lamella::kernels::avx512
