// Linear layers on AMX: matrix_linear.h over the real tile registers.
#include "server/kernels/amx_kernels.h"
#include "server/kernels/amx_tiles.h"
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
  LAMELLA_KERNEL_INLINE void Step(const BF16* const (&x)[R], const BF16* const (&w)[C]) {
    _tile_loadd(4, x[0], kTileRowBytes);
    _tile_loadd(6, w[0], kTileRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (C == 2) {
      _tile_loadd(7, w[1], kTileRowBytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (R == 2) {
      _tile_loadd(5, x[1], kTileRowBytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (C == 2) _tile_dpbf16ps(3, 5, 7);
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

  // The first `count` of x, at most 32, to bfloat16, and zeros.
  LAMELLA_KERNEL_INLINE void Round(const float* x, int64_t count, BF16* out) {
    const auto mask = static_cast<uint32_t>((uint64_t{1} << count) - 1);
    const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), x);
    const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), x + 16);
    _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
};

using Kernels = MatrixLinear<Registers>;

}  // namespace
size_t PackedLinearBytes(int64_t n, int64_t k) { return Kernels::PackedLinearBytes(n, k); }
void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                void* packed) {
  Kernels::PackLinear(w, row_begin, rows, n, k, packed);
}
void UnpackRow(const void* packed, int64_t n, int64_t k, int64_t row, float* out) {
  Kernels::UnpackRow(packed, n, k, row, out);
}
size_t PackedRowsBytes(int64_t rows, int64_t k) { return Kernels::PackedRowsBytes(rows, k); }
void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
              int64_t tile_end, void* packed) {
  Kernels::PackRows(x, ldx, rows, k, tile_begin, tile_end, packed);
}
void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed) {
  Kernels::PackLoraB(b, n, rank, scale, packed);
}
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  Kernels::Linear(args, tile_begin, tile_end);
}

}  // namespace lamella::kernels::amx
