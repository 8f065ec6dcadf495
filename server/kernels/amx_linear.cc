// Linear layers on AMX: matrix_linear.h over the real tile registers.
#include "server/kernels/amx_kernels.h"
#include "server/kernels/amx_tiles.h"
#include "server/kernels/linear_functions.h"
#include "server/kernels/matrix_linear.h"

namespace lamella::kernels::amx {
namespace {

struct Registers : Tiles {
  // Vectors read memory faster than tile loads do, and so few rows leave them the time.
  static constexpr int kFewRows = 2;
  static constexpr int kFewColumns = 2;

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

  template <int R, int C, int kParts>
  LAMELLA_KERNEL_INLINE void Step(const BF16* const (&x)[R], const int64_t* part,
                                  const BF16* const (&w)[C]) {
    _tile_loadd(6, w[0], kTileRowBytes);
    if constexpr (C == 2) _tile_loadd(7, w[1], kTileRowBytes);
    for (int i = 0; i < kParts; ++i) {
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
  LAMELLA_KERNEL_INLINE void Load(const float* sums, int64_t ld) {
    const int64_t bytes = ld * static_cast<int64_t>(sizeof(float));
    if constexpr (r == 0 && c == 0) _tile_loadd(0, sums, bytes);
    if constexpr (r == 0 && c == 1) _tile_loadd(1, sums, bytes);
    if constexpr (r == 1 && c == 0) _tile_loadd(2, sums, bytes);
    if constexpr (r == 1 && c == 1) _tile_loadd(3, sums, bytes);
  }

  template <int r, int c>
  LAMELLA_KERNEL_INLINE void Store(float* out, int64_t ld) {
    const int64_t bytes = ld * static_cast<int64_t>(sizeof(float));
    if constexpr (r == 0 && c == 0) _tile_stored(0, out, bytes);
    if constexpr (r == 0 && c == 1) _tile_stored(1, out, bytes);
    if constexpr (r == 1 && c == 0) _tile_stored(2, out, bytes);
    if constexpr (r == 1 && c == 1) _tile_stored(3, out, bytes);
  }

  template <int R, int C, int kParts>
  LAMELLA_KERNEL_INLINE void SumFew(const float* x, const BF16* w, int64_t stride, int64_t steps,
                                    SumRow* sums) {
    const FlushDenormals flush;
    SumRows<R, C, kParts>(x, w, stride, steps, sums);
  }

  // 16 of x: rounded, and what is left.
  struct Halves {
    __m256i high;
    __m256i low;
  };
  LAMELLA_KERNEL_INLINE Halves SplitHalf(const float* x, int64_t count) {
    const __m512 value = _mm512_maskz_loadu_ps(avx512::FirstLanes(count), x);
    const __m256i high = (__m256i)_mm512_cvtneps_pbh(value);
    return {high, (__m256i)_mm512_cvtneps_pbh(_mm512_sub_ps(value, View::Widen(high)))};
  }

  template <int kParts>
  LAMELLA_KERNEL_INLINE void Split(const float* x, int64_t count, int64_t part, BF16* out) {
    for (int i = 0; i < kMatrixDepth; i += 16) {
      const Halves halves = SplitHalf(x + i, count - i);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), halves.high);
      if constexpr (kParts == 2) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + part + i), halves.low);
      }
    }
  }

  template <int kParts>
  LAMELLA_KERNEL_INLINE void SplitWide(const float* x, int64_t count, int64_t part, float* out) {
    for (int i = 0; i < kMatrixDepth; i += 16) {
      const Halves halves = SplitHalf(x + i, count - i);
      View::Store(out + i, View::Widen(halves.high));
      if constexpr (kParts == 2) View::Store(out + part + i, View::Widen(halves.low));
    }
  }

 private:
  // Tile registers take denormal numbers for zeros and make none, whatever the thread's mode is.
  struct FlushDenormals {
    static constexpr unsigned kFlush = _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON;
    LAMELLA_KERNEL_MEMBER FlushDenormals() : before(_mm_getcsr()) { _mm_setcsr(before | kFlush); }
    LAMELLA_KERNEL_MEMBER ~FlushDenormals() { _mm_setcsr(before); }
    const unsigned before;
  };

  // As tdpbf16ps: 16 even elements and 16 odd ones have a chain each from zero; these are added, and
  // then to the sum. Not inlined: arithmetic could move out of the mode that it is meant for.
  template <int R, int C, int kParts>
  [[gnu::noinline]] static void SumRows(const float* x, const BF16* w, int64_t stride,
                                        int64_t steps, SumRow* sums) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
    __m512 total[C][R] = {};
    for (int64_t step = 0; step < steps; ++step) {
      __m512 even[C][R][kParts] = {};
      __m512 odd[C][R][kParts] = {};
      for (int i = 0; i < kMatrixDepth; i += 2) {
        LAMELLA_UNROLL
        for (int c = 0; c < C; ++c) {
          const BF16* at = w + c * stride + i * kColumnTile;
          __builtin_prefetch(reinterpret_cast<const char*>(at) + kFewAheadBytes, 0, 3);
          const __m512i both = _mm512_loadu_si512(at);
          const __m512 first = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
          const __m512 second = _mm512_castsi512_ps(_mm512_and_si512(both, mask));
          LAMELLA_UNROLL
          for (int part = 0; part < kParts; ++part) {
            LAMELLA_UNROLL
            for (int r = 0; r < R; ++r) {
              const float* value = x + (part * R + r) * kMatrixDepth + i;
              even[c][r][part] = _mm512_fmadd_ps(_mm512_set1_ps(value[0]), first, even[c][r][part]);
              odd[c][r][part] = _mm512_fmadd_ps(_mm512_set1_ps(value[1]), second, odd[c][r][part]);
            }
          }
        }
      }
      x += kParts * R * kMatrixDepth;
      LAMELLA_UNROLL
      for (int c = 0; c < C; ++c) {
        LAMELLA_UNROLL
        for (int r = 0; r < R; ++r) {
          LAMELLA_UNROLL
          for (int part = 0; part < kParts; ++part) {
            total[c][r] =
                _mm512_add_ps(total[c][r], _mm512_add_ps(even[c][r][part], odd[c][r][part]));
          }
        }
      }
      w += kMatrixDepth * kColumnTile;
    }
    for (int c = 0; c < C; ++c) {
      for (int r = 0; r < R; ++r) View::Store(sums[c * R + r], total[c][r]);
    }
  }
};

}  // namespace

void SetLinear(MatmulPrecision precision, KernelTable* table) {
  if (precision == MatmulPrecision::kMedium) {
    SetLinearFunctions<MatrixLinear<Registers, 1>>(kMatrixRows, table);
  } else {
    SetLinearFunctions<MatrixLinear<Registers, 2>>(kMatrixRows, table);
  }
  table->precision = precision;
}

}  // namespace lamella::kernels::amx
