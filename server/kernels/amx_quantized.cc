// Linear layers on an int8 base on AMX: matrix_quantized.h over the real tile registers.
#include "server/kernels/amx_kernels.h"
#include "server/kernels/amx_tiles.h"
#include "server/kernels/linear_functions.h"
#include "server/kernels/matrix_quantized.h"
#include "server/kernels/quantized_rows.h"

namespace lamella::kernels::amx {
namespace {

struct Registers : Tiles {
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
};

}  // namespace

template <typename T>
void SetInt8Linear(KernelTable* table) {
  SetLinearFunctions<MatrixQuantized<Registers, T>>(kMatrixRows, table);
}

template void SetInt8Linear<float>(KernelTable*);
template void SetInt8Linear<BF16>(KernelTable*);

}  // namespace lamella::kernels::amx
