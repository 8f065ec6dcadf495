// Linear layers on an int8 base on AMX: matrix_quantized.h over the real tile registers.
#include "server/kernels/amx_kernels.h"
#include "server/kernels/amx_tiles.h"
#include "server/kernels/linear_functions.h"
#include "server/kernels/matrix_quantized.h"
#include "server/kernels/quantized_rows.h"

namespace lamella::kernels::amx {
namespace {

struct Registers : Tiles {
  // Vectors read memory faster than tile loads do, and so few rows leave them the time.
  static constexpr int kFewRows = 4;
  static constexpr int kFewColumns = 2;

  template <int R>
  LAMELLA_KERNEL_INLINE void SumGroup(const int8_t* const (&x)[R], const int64_t* counts,
                                      const int8_t* w, GroupSums* sums) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(6, w, kTileRowBytes);
    _tile_loadd(4, x[0], kTileRowBytes);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(4, x[0] + counts[0] * kTileRowBytes, kTileRowBytes);
    _tile_dpbusd(1, 4, 6);
    if constexpr (R == 2) {
      _tile_zero(2);
      _tile_zero(3);
      _tile_loadd(5, x[1], kTileRowBytes);
      _tile_dpbssd(2, 5, 6);
      _tile_loadd(5, x[1] + counts[1] * kTileRowBytes, kTileRowBytes);
      _tile_dpbusd(3, 5, 6);
      _tile_stored(2, sums[1][0], kTileRowBytes);
      _tile_stored(3, sums[1][1], kTileRowBytes);
    }
    _tile_stored(0, sums[0][0], kTileRowBytes);
    _tile_stored(1, sums[0][1], kTileRowBytes);
  }

  LAMELLA_KERNEL_INLINE void AddGroup(int64_t rows, const GroupSums& sums, const BF16* scales,
                                      SumRow* y) {
    const __m512 scale = View::Widen(scales);
    for (int64_t i = 0; i < rows; ++i) {
      const __m512i high = _mm512_slli_epi32(_mm512_loadu_si512(sums[0][i]), 8);
      const __m512i sum = _mm512_add_epi32(high, _mm512_loadu_si512(sums[1][i]));
      View::Store(y[i], View::Fma(_mm512_cvtepi32_ps(sum), scale, View::Load(y[i])));
    }
  }

  // Four products and their sum are one instruction, of unsigned with signed bytes: 128 is added to
  // the high ones, and 128 times the sum of weights taken away again.
  template <int R, int C>
  LAMELLA_KERNEL_INLINE void SumFew(const int8_t* x, const int8_t* w, int64_t stride,
                                    int64_t groups, SumRow* y) {
    constexpr int kGroup = Int8Groups::kGroup;
    const __m512i offset = _mm512_set1_epi8(static_cast<char>(0x80));
    const auto* scales = reinterpret_cast<const BF16*>(w + groups * kGroup * kColumnTile);
    __m512 total[C][R] = {};
    for (int64_t g = 0; g < groups; ++g, scales += kColumnTile) {
      __m512i offsets[C] = {};
      __m512i high[C][R] = {};
      __m512i low[C][R] = {};
      for (int i = 0; i < kGroup; i += 4, w += 4 * kColumnTile) {
        LAMELLA_UNROLL
        for (int c = 0; c < C; ++c) {
          __builtin_prefetch(w + c * stride + kFewAheadBytes, 0, 3);
          const __m512i weights = _mm512_loadu_si512(w + c * stride);
          offsets[c] = _mm512_dpbusd_epi32(offsets[c], offset, weights);
          LAMELLA_UNROLL
          for (int r = 0; r < R; ++r) {
            const __m512i above = Broadcast4(x + r * kGroup + i);
            high[c][r] = _mm512_dpbusd_epi32(high[c][r], _mm512_xor_si512(above, offset), weights);
            low[c][r] =
                _mm512_dpbusd_epi32(low[c][r], Broadcast4(x + (R + r) * kGroup + i), weights);
          }
        }
      }
      x += 2 * R * kGroup;
      LAMELLA_UNROLL
      for (int c = 0; c < C; ++c) {
        const auto* at = reinterpret_cast<const int8_t*>(scales) + c * stride;
        const __m512 scale = View::Widen(reinterpret_cast<const BF16*>(at));
        LAMELLA_UNROLL
        for (int r = 0; r < R; ++r) {
          const __m512i above = _mm512_slli_epi32(_mm512_sub_epi32(high[c][r], offsets[c]), 8);
          const __m512i sum = _mm512_add_epi32(above, low[c][r]);
          total[c][r] = View::Fma(_mm512_cvtepi32_ps(sum), scale, total[c][r]);
        }
      }
    }
    for (int c = 0; c < C; ++c) {
      for (int r = 0; r < R; ++r) View::Store(y[c * R + r], total[c][r]);
    }
  }

  LAMELLA_KERNEL_INLINE float PackRow(const float* x, int64_t k, int64_t part, int8_t* out) {
    const float largest = avx512::LargestMagnitude(x, k);
    const __m512 factor = _mm512_set1_ps(largest == 0 ? 0 : kMostActivation / largest);
    constexpr int64_t kGroup = Int8Groups::kGroup;
    for (int64_t begin = 0; begin < k; begin += kGroup, out += 2 * part) {
      for (int64_t i = 0; i < kGroup; i += 16) {
        const __m512 values =
            _mm512_maskz_loadu_ps(avx512::FirstLanes(k - begin - i), x + begin + i);
        const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(values, factor));
        const __m128i high = _mm512_cvtepi32_epi8(_mm512_srai_epi32(whole, 8));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), high);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + part + i), _mm512_cvtepi32_epi8(whole));
      }
    }
    return largest / kMostActivation;
  }

 private:
  LAMELLA_KERNEL_INLINE __m512i Broadcast4(const int8_t* bytes) {
    int32_t four;
    __builtin_memcpy(&four, bytes, sizeof(four));
    return _mm512_set1_epi32(four);
  }
};

}  // namespace

template <typename T>
void SetInt8Linear(KernelTable* table) {
  SetLinearFunctions<MatrixQuantized<Registers, T>>(kMatrixRows, table);
}

template void SetInt8Linear<float>(KernelTable*);
template void SetInt8Linear<BF16>(KernelTable*);

}  // namespace lamella::kernels::amx
