// Linear layers on AVX512_BF16: dot_linear.h over the real registers.
#include <immintrin.h>

#include "server/kernels/avx512bf16_kernels.h"
#include "server/kernels/dot_linear.h"

namespace lamella::kernels::avx512bf16 {
namespace {

struct Native {
  using F = __m512;
  using I = __m512i;
  static constexpr int kMaxRows = kRowTile;

  LAMELLA_KERNEL_INLINE F Zero() { return _mm512_setzero_ps(); }
  LAMELLA_KERNEL_INLINE F Load(const float* p) { return _mm512_loadu_ps(p); }
  LAMELLA_KERNEL_INLINE void Store(float* p, F value) { _mm512_storeu_ps(p, value); }
  LAMELLA_KERNEL_INLINE void StoreFirst(float* p, F value, int64_t count) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1u), value);
  }
  LAMELLA_KERNEL_INLINE F Broadcast(float value) { return _mm512_set1_ps(value); }
  LAMELLA_KERNEL_INLINE F Add(F a, F b) { return _mm512_add_ps(a, b); }
  LAMELLA_KERNEL_INLINE F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  LAMELLA_KERNEL_INLINE F Widen(const BF16* p) {
    const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16));
  }

  LAMELLA_KERNEL_INLINE I LoadPairs(const void* p) { return _mm512_loadu_si512(p); }
  LAMELLA_KERNEL_INLINE I BroadcastPair(const uint32_t* p) {
    return _mm512_set1_epi32(static_cast<int32_t>(*p));
  }
  LAMELLA_KERNEL_INLINE F Dot(F acc, I a, I b) {
    return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);  // a cast between vector types
  }
};

using Kernels = DotLinear<Native, kActivationParts>;

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

}  // namespace lamella::kernels::avx512bf16
