// Linear layers on AVX512_BF16: dot_linear.h over the real registers.
#include <immintrin.h>

#include "server/kernels/avx512_view.h"
#include "server/kernels/avx512bf16_kernels.h"
#include "server/kernels/dot_linear.h"
#include "server/kernels/linear_functions.h"

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

}  // namespace

void SetLinear(MatmulPrecision precision, KernelTable* table) {
  if (precision == MatmulPrecision::kMedium) {
    SetLinearFunctions<DotLinear<Native, 1>>(kRowTile, table);
  } else {
    SetLinearFunctions<DotLinear<Native, 2>>(kRowTile, table);
  }
  table->precision = precision;
}

}  // namespace lamella::kernels::avx512bf16
