// Linear layers on AVX512_BF16: dot_linear.h over the real registers.
#include <immintrin.h>

#include "server/kernels/avx512_view.h"
#include "server/kernels/avx512bf16_kernels.h"
#include "server/kernels/dot_linear.h"

namespace lamella::kernels::avx512bf16 {
namespace {

struct Native : avx512::View {
  using I = __m512i;
  static constexpr int kMaxRows = kRowTile;

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
