// The shrink of low-rank adapters, v = x A^T, on AVX2+FMA. A register block is up to 4 rank rows by
// 2 rows of x, with 8 lanes over k: lane l sums k = l, l + 8, l + 16, ... of the full 16s, one
// fixed tree joins the lanes, and what is left of k follows one by one.
#include "server/kernels/avx2_kernels.h"
#include "server/kernels/avx2_tile.h"

namespace lamella::kernels::avx2 {
namespace {

constexpr int kRankBlock = 4;
// 3 rows keep more sums in registers, but after them an Intel core of AMX's generation computes for some
// 0.5 ms more slowly, whatever follows: 15% of the q, k and v of 32 rows.
constexpr int kRowBlock = 2;

template <typename T, int J, int R>
void ShrinkBlock(const ShrinkArgs& args, int64_t row, int64_t rank) {
  const T* a = static_cast<const T*>(args.a) + rank * args.k;
  const float* x = args.x + row * args.ldx;
  const int64_t full = args.k - args.k % kColumnTile;
  __m256 acc[J][R];
  LAMELLA_UNROLL
  for (int j = 0; j < J; ++j) {
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) acc[j][r] = _mm256_setzero_ps();
  }
  for (int64_t k = 0; k < full; k += kColumnTile) {
    LAMELLA_UNROLL
    for (int j = 0; j < J; ++j) {
      const Vec16 w = Load16(a + j * args.k + k);
      LAMELLA_UNROLL
      for (int r = 0; r < R; ++r) {
        const float* at = x + r * args.ldx + k;
        acc[j][r] = _mm256_fmadd_ps(w.lo, _mm256_loadu_ps(at), acc[j][r]);
        acc[j][r] = _mm256_fmadd_ps(w.hi, _mm256_loadu_ps(at + 8), acc[j][r]);
      }
    }
  }
  LAMELLA_UNROLL
  for (int j = 0; j < J; ++j) {
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      float sum = ReduceAdd(acc[j][r]);
      for (int64_t k = full; k < args.k; ++k) {
        sum = FusedMultiplyAdd(ToFloat(a[j * args.k + k]), x[r * args.ldx + k], sum);
      }
      args.v[(row + r) * args.ldv + rank + j] = sum;
    }
  }
}

template <typename T, int J>
void ShrinkRows(const ShrinkArgs& args, int64_t rank) {
  int64_t row = args.row_begin;
  for (; row + kRowBlock <= args.row_end; row += kRowBlock) {
    ShrinkBlock<T, J, kRowBlock>(args, row, rank);
  }
  if (args.row_end - row == 1) ShrinkBlock<T, J, 1>(args, row, rank);
}

}  // namespace

template <typename T>
void LoraShrink(const ShrinkArgs& args, int32_t rank_begin, int32_t rank_end) {
  int64_t rank = rank_begin;
  for (; rank + kRankBlock <= rank_end; rank += kRankBlock) ShrinkRows<T, kRankBlock>(args, rank);
  if (rank_end - rank == 3) ShrinkRows<T, 3>(args, rank);
  if (rank_end - rank == 2) ShrinkRows<T, 2>(args, rank);
  if (rank_end - rank == 1) ShrinkRows<T, 1>(args, rank);
}

template void LoraShrink<float>(const ShrinkArgs&, int32_t, int32_t);
template void LoraShrink<BF16>(const ShrinkArgs&, int32_t, int32_t);

}  // namespace lamella::kernels::avx2
