// Linear layers on a quantized base on AVX2. Activations are rounded to 16 bits with one scale per
// row; a group's products are summed exactly in 32-bit integers, and the groups' sums in float, k
// ascending.
#include <type_traits>

#include "server/kernels/avx2_driver.h"
#include "server/kernels/quantized_rows.h"

namespace lamella::kernels::avx2 {
namespace {

constexpr int kUnroll = 8;  // pairs of k in one turn of the loop

struct Pairs16 {
  __m256i lo;  // two 16-bit values of each of features 0-7
  __m256i hi;  // 8-15
};

LAMELLA_KERNEL_INLINE __m128i LoadBytes(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
LAMELLA_KERNEL_INLINE Pairs16 LoadPair(Int8Groups /*tag*/, const uint8_t* p) {
  return {_mm256_cvtepi8_epi16(LoadBytes(p)), _mm256_cvtepi8_epi16(LoadBytes(p + 16))};
}
LAMELLA_KERNEL_INLINE Pairs16 LoadPair(Int4Groups /*tag*/, const uint8_t* p) {
  const __m256i both = _mm256_cvtepu8_epi16(LoadBytes(p));
  const __m256i eight = _mm256_set1_epi16(8);
  return {_mm256_sub_epi16(_mm256_and_si256(both, _mm256_set1_epi16(15)), eight),
          _mm256_sub_epi16(_mm256_srli_epi16(both, 4), eight)};
}

// sum += a * b in pairs of 16-bit values. Left to itself g++ turns chains of such sums into trees and
// spills their leaves: less than half of the speed.
LAMELLA_KERNEL_INLINE void AddProducts(__m256i a, __m256i b, __m256i& sum) {
  __m256i products;
  asm("vpmaddwd %[b], %[a], %[products]\n\tvpaddd %[products], %[sum], %[sum]"
      : [sum] "+x"(sum), [products] "=&x"(products)
      : [a] "x"(a), [b] "x"(b));
}

template <int R, int C>
struct IntTile {
  __m256i lo[R][C];
  __m256i hi[R][C];
};

// acc[r][c] += the products of one pair of k: x is uint32 [R].
template <typename Q, int R, int C>
LAMELLA_KERNEL_INLINE void AccumulatePair(const uint32_t* x, const uint8_t* const (&w)[C],
                                          int64_t at, IntTile<R, C>& acc) {
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) {
    const Pairs16 column = LoadPair(Q(), w[c] + at);
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m256i value = _mm256_set1_epi32(static_cast<int32_t>(x[r]));
      AddProducts(value, column.lo, acc.lo[r][c]);
      AddProducts(value, column.hi, acc.hi[r][c]);
    }
  }
}

template <typename Q, typename T>
struct QuantizedWeights {
  using Lora = T;
  static constexpr int kPrefetches = 2;
  static constexpr int kBesideOfThree = std::is_same_v<Q, Int8Groups> ? 2 : 1;
  static constexpr int kMostInTurns = 0;

  LAMELLA_KERNEL_INLINE int64_t TileBytes(int64_t k) { return kernels::TileBytes<Q>(k); }
  LAMELLA_KERNEL_INLINE int64_t Turns(int64_t k) {
    return GroupsOf<Q>(k) * (kGroupPairs<Q> / kUnroll);
  }

  // Sums of one group, whose packed scales begin at w[c], of x: uint32 [kGroupPairs][R].
  template <int R, int C, int kAhead>
  LAMELLA_KERNEL_INLINE void SumGroup(const uint32_t* x, const uint8_t* const (&w)[C],
                                      Prefetch& prefetch, IntTile<R, C>& acc) {
    for (int64_t pair = 0; pair < kGroupPairs<Q>; pair += kUnroll) {
      if constexpr (kAhead == 0) prefetch.Ask<kPrefetches>();
      LAMELLA_UNROLL
      for (int u = 0; u < kUnroll; ++u) {
        const int64_t at = kScaleBytes + (pair + u) * Q::kPairBytes;
        if constexpr (kAhead > 0) {
          LAMELLA_UNROLL
          for (int c = 0; c < C; ++c) {
            if (u * Q::kPairBytes % 64 == 0) {
              _mm_prefetch(reinterpret_cast<const char*>(w[c] + at) + kAhead, _MM_HINT_T0);
            }
          }
        }
        AccumulatePair<Q, R, C>(x + (pair + u) * R, w, at, acc);
      }
    }
  }

  // sums[c][r] += the group's sums times its scales.
  template <int R, int C>
  LAMELLA_KERNEL_INLINE void AddGroup(const IntTile<R, C>& acc, const uint8_t* const (&w)[C],
                                      SumRow (&sums)[C][R]) {
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      const Vec16 scale = Load16(reinterpret_cast<const BF16*>(w[c]));
      LAMELLA_UNROLL
      for (int r = 0; r < R; ++r) {
        const Vec16 sum = {_mm256_cvtepi32_ps(acc.lo[r][c]), _mm256_cvtepi32_ps(acc.hi[r][c])};
        View16::Store(sums[c][r], View16::Fma(sum, scale, View16::Load(sums[c][r])));
      }
    }
  }

  template <int R, int C, int kAhead>
  LAMELLA_KERNEL_INLINE void Run(const LinearArgs& args, int64_t row_begin, int64_t tile,
                                 Prefetch prefetch) {
    const int64_t groups = GroupsOf<Q>(args.k);
    const auto* row_scales = static_cast<const float*>(args.packed_x);
    const uint32_t* x = static_cast<const uint32_t*>(args.packed_x) + args.rows +
                        row_begin * groups * kGroupPairs<Q>;
    const uint8_t* w[C];
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      w[c] = static_cast<const uint8_t*>(args.packed_w) + (tile + c) * TileBytes(args.k);
    }
    alignas(32) SumRow sums[C][R] = {};
    for (int64_t g = 0; g < groups; ++g) {
      IntTile<R, C> acc;
      LAMELLA_UNROLL
      for (int r = 0; r < R; ++r) {
        LAMELLA_UNROLL
        for (int c = 0; c < C; ++c) acc.lo[r][c] = acc.hi[r][c] = _mm256_setzero_si256();
      }
      SumGroup<R, C, kAhead>(x, w, prefetch, acc);
      AddGroup(acc, w, sums);
      x += kGroupPairs<Q> * R;
      LAMELLA_UNROLL
      for (int c = 0; c < C; ++c) w[c] += kGroupBytes<Q>;
    }
    for (int c = 0; c < C; ++c) {
      for (int r = 0; r < R; ++r) {
        const __m256 scale = _mm256_set1_ps(row_scales[row_begin + r]);
        const Vec16 sum = View16::Load(sums[c][r]);
        View16::Store(sums[c][r], {_mm256_mul_ps(sum.lo, scale), _mm256_mul_ps(sum.hi, scale)});
      }
      FinishSums(args, row_begin, R, tile + c, sums[c]);
    }
  }
};

// The largest magnitude of a row; NaN if there is one, since magnitudes are ordered as their bits.
LAMELLA_KERNEL_INLINE float LargestMagnitude(const float* x, int64_t count) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i largest = _mm256_setzero_si256();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    largest = _mm256_max_epu32(largest, _mm256_and_si256(bits, magnitude));
  }
  uint32_t lanes[8];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), largest);
  uint32_t result = 0;
  for (const uint32_t lane : lanes) result = lane > result ? lane : result;
  for (; i < count; ++i) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x[i]) & 0x7fffffffU;
    result = bits > result ? bits : result;
  }
  return __builtin_bit_cast(float, result);
}

// Eight values as four pairs, `step` apart.
LAMELLA_KERNEL_INLINE void StorePairs(__m256 values, int64_t step, uint32_t* out) {
  const __m256i whole = _mm256_cvtps_epi32(values);
  const __m256i low = _mm256_and_si256(whole, _mm256_set1_epi64x(0xffff));
  const __m256i high =
      _mm256_and_si256(_mm256_srli_epi64(whole, 16), _mm256_set1_epi64x(0xffff0000));
  alignas(32) uint64_t pairs[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(pairs), _mm256_or_si256(low, high));
  LAMELLA_UNROLL
  for (int i = 0; i < 4; ++i) out[i * step] = static_cast<uint32_t>(pairs[i]);
}

// One row: x float [k] to out uint32 [padded / 2], `step` apart. Returns its scale; not finite, and
// so every output of the row, if a value of x is not.
LAMELLA_KERNEL_INLINE float PackRow(const float* x, int64_t k, int64_t padded, int64_t step,
                                    uint32_t* out) {
  const float largest = LargestMagnitude(x, k);
  const __m256 factor = _mm256_set1_ps(largest == 0 ? 0 : kMostActivation / largest);
  int64_t i = 0;
  for (; i + 8 <= k; i += 8) {
    StorePairs(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor), step, out + i / 2 * step);
  }
  for (; i < padded; i += 8) {
    float rest[8] = {};
    for (int64_t j = 0; j < 8 && i + j < k; ++j) rest[j] = x[i + j];
    StorePairs(_mm256_mul_ps(_mm256_loadu_ps(rest), factor), step, out + i / 2 * step);
  }
  return largest / kMostActivation;
}

}  // namespace

template <typename Q>
size_t QuantizedRowsBytes(int64_t rows, int64_t k) {
  return QuantizedRowBytesOf<Q>(rows, k);
}

template <typename Q>
void PackQuantizedRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
                       int64_t tile_end, void* packed) {
  PackQuantizedTiles<Q>(x, ldx, rows, k, kMaxRows, tile_begin, tile_end, packed, PackRow);
}

template <typename Q, typename T>
void QuantizedLinear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  RunLinear<QuantizedWeights<Q, T>>(args, tile_begin, tile_end);
}

template size_t QuantizedRowsBytes<Int8Groups>(int64_t, int64_t);
template size_t QuantizedRowsBytes<Int4Groups>(int64_t, int64_t);
template void PackQuantizedRows<Int8Groups>(const float*, int64_t, int64_t, int64_t, int64_t,
                                            int64_t, void*);
template void PackQuantizedRows<Int4Groups>(const float*, int64_t, int64_t, int64_t, int64_t,
                                            int64_t, void*);
template void QuantizedLinear<Int8Groups, float>(const LinearArgs&, int64_t, int64_t);
template void QuantizedLinear<Int8Groups, BF16>(const LinearArgs&, int64_t, int64_t);
template void QuantizedLinear<Int4Groups, float>(const LinearArgs&, int64_t, int64_t);
template void QuantizedLinear<Int4Groups, BF16>(const LinearArgs&, int64_t, int64_t);

}  // namespace lamella::kernels::avx2
