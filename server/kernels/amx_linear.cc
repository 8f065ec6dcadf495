// Linear layers on AMX: matrix_linear.h over the real tile registers.
#include "server/kernels/amx_kernels.h"
#include "server/kernels/amx_tiles.h"
#include "server/kernels/linear_functions.h"
#include "server/kernels/matrix_linear.h"

namespace lamella::kernels::amx {
namespace {

struct Registers : Tiles {
  // tilezero of a tile without rows is an error, so only those of `R` row tiles.
  template <int R>
  LAMELLA_KERNEL_INLINE void Zero() {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (R == 2) {
      _tile_zero(2);
      _tile_zero(3);
    }
  }

  template <int R, int C>
  LAMELLA_KERNEL_INLINE void Step(const BF16* const (&x)[R], const int64_t* part,
                                  const BF16* const (&w)[C]) {
    _tile_loadd(6, w[0], kTileRowBytes);
    if constexpr (C == 2) _tile_loadd(7, w[1], kTileRowBytes);
    for (int i = 0; i < kMatrixParts; ++i) {
      _tile_loadd(4, x[0] + i * part[0], kTileRowBytes);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (C == 2) _tile_dpbf16ps(1, 4, 7);
      if constexpr (R == 2) {
        _tile_loadd(5, x[1] + i * part[1], kTileRowBytes);
        _tile_dpbf16ps(2, 5, 6);
        if constexpr (C == 2) _tile_dpbf16ps(3, 5, 7);
      }
    }
  }

  template <int r, int c>
  LAMELLA_KERNEL_INLINE void Store(float* out, int64_t ld) {
    const int64_t bytes = ld * static_cast<int64_t>(sizeof(float));
    if constexpr (r == 0 && c == 0) _tile_stored(0, out, bytes);
    if constexpr (r == 0 && c == 1) _tile_stored(1, out, bytes);
    if constexpr (r == 1 && c == 0) _tile_stored(2, out, bytes);
    if constexpr (r == 1 && c == 1) _tile_stored(3, out, bytes);
  }

  // 16 of x: rounded, and what is left.
  LAMELLA_KERNEL_INLINE void SplitHalf(__m512 x, BF16* high, BF16* low) {
    const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(x);
    const __m512 value = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(high), rounded);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(low),
                        (__m256i)_mm512_cvtneps_pbh(_mm512_sub_ps(x, value)));
  }

  LAMELLA_KERNEL_INLINE void Split(const float* x, int64_t count, BF16* high, BF16* low) {
    SplitHalf(_mm512_maskz_loadu_ps(avx512::FirstLanes(count), x), high, low);
    SplitHalf(_mm512_maskz_loadu_ps(avx512::FirstLanes(count - 16), x + 16), high + 16, low + 16);
  }
};

}  // namespace

void SetLinear(KernelTable* table) {
  SetLinearFunctions<MatrixLinear<Registers>>(kMatrixRows, table);
}

}  // namespace lamella::kernels::amx
