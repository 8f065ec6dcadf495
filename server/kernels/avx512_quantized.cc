// Linear layers on a quantized base on AVX512_VNNI: as on AVX2, to the bit, but a product of two
// pairs and its sum are one instruction.
#include "server/kernels/avx512_driver.h"
#include "server/kernels/quantized_rows.h"

namespace lamella::kernels::avx512 {
namespace {

// Two 16-bit values of each of 16 features.
LAMELLA_KERNEL_INLINE __m512i LoadPair(Int8Groups /*tag*/, const uint8_t* p) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
LAMELLA_KERNEL_INLINE __m512i LoadPair(Int4Groups /*tag*/, const uint8_t* p) {
  const __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i low = _mm256_and_si256(both, _mm256_set1_epi16(15));
  const __m512i values =
      _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_srli_epi16(both, 4), 1);
  return _mm512_sub_epi16(values, _mm512_set1_epi16(8));
}

// The scales of 16 features out of ScaleSlot's order.
LAMELLA_KERNEL_INLINE __m512 LoadScales(const uint8_t* p) {
  const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i low = _mm256_slli_epi32(raw, 16);
  const __m256i high = _mm256_and_si256(raw, _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u)));
  return _mm512_castsi512_ps(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}

template <int R, int C>
struct IntTile {
  __m512i at[R][C];
};

template <typename Q, typename T>
struct QuantizedWeights {
  using Lora = T;
  static constexpr int kMaxRows = kQuantizedRowTile;

  LAMELLA_KERNEL_INLINE int64_t TileBytes(int64_t k) { return kernels::TileBytes<Q>(k); }
  LAMELLA_KERNEL_INLINE int64_t RowBytes(int64_t k) {
    return GroupsOf<Q>(k) * kGroupPairs<Q> * static_cast<int64_t>(sizeof(uint32_t));
  }
  LAMELLA_KERNEL_INLINE int64_t Turns(int64_t k) { return GroupsOf<Q>(k) * kGroupPairs<Q>; }

  // Sums of one group, whose packed scales begin at `w` for column tile 0, of x: uint32
  // [kGroupPairs][R].
  template <int R, int C, bool kAlone>
  LAMELLA_KERNEL_INLINE void SumGroup(const uint32_t* x, const uint8_t* w, int64_t stride,
                                      Prefetch* prefetch, IntTile<R, C>& acc) {
    for (int64_t pair = 0; pair < kGroupPairs<Q>; ++pair) {
      if constexpr (!kAlone) prefetch->Ask<1>();
      LAMELLA_UNROLL
      for (int c = 0; c < C; ++c) {
        const uint8_t* at = w + c * stride + kScaleBytes + pair * Q::kPairBytes;
        if constexpr (kAlone) __builtin_prefetch(at + kAheadBytes, 0, 3);
        const __m512i column = LoadPair(Q(), at);
        LAMELLA_UNROLL
        for (int r = 0; r < R; ++r) {
          const __m512i value = _mm512_set1_epi32(static_cast<int32_t>(x[pair * R + r]));
          acc.at[r][c] = _mm512_dpwssd_epi32(acc.at[r][c], value, column);
        }
      }
    }
  }

  template <int R, int C, bool kAlone>
  LAMELLA_KERNEL_INLINE void Run(const LinearArgs& args, int64_t row_begin, int64_t tile,
                                 Prefetch* prefetch) {
    const int64_t groups = GroupsOf<Q>(args.k);
    const int64_t stride = TileBytes(args.k);
    const auto* row_scales = static_cast<const float*>(args.packed_x) + row_begin;
    const uint32_t* x = static_cast<const uint32_t*>(args.packed_x) + args.rows +
                        row_begin * groups * kGroupPairs<Q>;
    const uint8_t* w = static_cast<const uint8_t*>(args.packed_w) + tile * stride;
    __m512 sums[C][R] = {};
    for (int64_t g = 0; g < groups; ++g) {
      IntTile<R, C> acc;
      LAMELLA_UNROLL
      for (int r = 0; r < R; ++r) {
        LAMELLA_UNROLL
        for (int c = 0; c < C; ++c) acc.at[r][c] = _mm512_setzero_si512();
      }
      SumGroup<R, C, kAlone>(x, w, stride, prefetch, acc);
      LAMELLA_UNROLL
      for (int c = 0; c < C; ++c) {
        const __m512 scales = LoadScales(w + c * stride);
        LAMELLA_UNROLL
        for (int r = 0; r < R; ++r) {
          sums[c][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc.at[r][c]), scales, sums[c][r]);
        }
      }
      x += kGroupPairs<Q> * R;
      w += kGroupBytes<Q>;
    }
    for (int c = 0; c < C; ++c) {
      for (int r = 0; r < R; ++r) {
        sums[c][r] = _mm512_mul_ps(sums[c][r], _mm512_set1_ps(row_scales[r]));
      }
      FinishRows<R>(args, row_begin, tile + c, sums[c]);
    }
  }
};

// One row: x float [k] to out uint32 [padded / 2], `step` apart. Returns its scale; not finite, and
// so every output of the row, if a value of x is not.
LAMELLA_KERNEL_INLINE float PackRow(const float* x, int64_t k, int64_t padded, int64_t step,
                                    uint32_t* out) {
  const float largest = LargestMagnitude(x, k);
  const __m512 factor = _mm512_set1_ps(largest == 0 ? 0 : kMostActivation / largest);
  for (int64_t i = 0; i < padded; i += 16) {
    const __m512i whole =
        _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(FirstLanes(k - i), x + i), factor));
    uint32_t pairs[8];
    // Truncated, not saturated: what is not finite must not become a number of another size.
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(pairs), _mm512_cvtepi32_epi16(whole));
    LAMELLA_UNROLL
    for (int j = 0; j < 8; ++j) out[(i / 2 + j) * step] = pairs[j];
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
  PackQuantizedTiles<Q>(x, ldx, rows, k, kQuantizedRowTile, tile_begin, tile_end, packed, PackRow);
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

}  // namespace lamella::kernels::avx512
