// Linear layers on AVX2+FMA. Weights are packed [ceil(n / 16)][k][16], activations per row tile
// [k][rows of the tile].
#include "server/kernels/avx2_driver.h"

namespace lamella::kernels::avx2 {
namespace {

// k steps in one turn of the loop. Measured on Zen 3, six rows reach 0.69 of peak with 1, 0.75 with
// 4.
constexpr int kUnroll = 8;

template <typename T>
struct FloatWeights {
  using Lora = T;
  static constexpr int kPrefetches = static_cast<int>(sizeof(T));
  static constexpr int kBesideOfThree = 2;
  static constexpr int kMostInTurns = 8;  // at 12 rows turns gain nothing, from 16 on they cost
  static constexpr int kBeside = 2;

  LAMELLA_KERNEL_INLINE int64_t TileBytes(int64_t k) {
    return k * kColumnTile * static_cast<int64_t>(sizeof(T));
  }
  LAMELLA_KERNEL_INLINE int64_t Turns(int64_t k) { return CeilDiv(k, kUnroll); }

  // Tile c of `acc` is column tile `tile` of rows [row_begin, row_begin + R).
  template <int R, int C>
  LAMELLA_KERNEL_INLINE void Finish(const LinearArgs& args, int64_t row_begin, int64_t tile, int c,
                                    Tile<R, C>& acc) {
    if (args.bias == nullptr && (tile + 1) * kColumnTile <= args.n) {
      float* y = args.y + row_begin * args.ldy + tile * kColumnTile;
      LAMELLA_UNROLL
      for (int r = 0; r < R; ++r) View16::Store(y + r * args.ldy, {acc.lo[r][c], acc.hi[r][c]});
      return;
    }
    SumRow sums[R];
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) View16::Store(sums[r], {acc.lo[r][c], acc.hi[r][c]});
    FinishSums(args, row_begin, R, tile, sums);
  }

  template <int R, int C, int kAhead>
  LAMELLA_KERNEL_INLINE void Run(const LinearArgs& args, int64_t row_begin, int64_t tile,
                                 Prefetch prefetch) {
    const T* w[C];
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      w[c] = static_cast<const T*>(args.packed_w) + (tile + c) * args.k * kColumnTile;
    }
    const XView x = {static_cast<const float*>(args.packed_x) + row_begin * args.k, 1, R};
    Tile<R, C> acc;
    Clear(acc);
    AccumulateRange<R, C, kAhead>(x, w, 0, args.k, prefetch, acc);
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) Finish(args, row_begin, tile + c, c, acc);
  }

  // Column tiles take turns of kTurn of k, in each of which every row tile passes over W while that is
  // in the first-level cache. So there are two streams from memory, at an even pace: on Intel's AMX
  // processors a layer of 4 rows takes 0.82 of the time of one stream, of 8 rows 0.92.
  LAMELLA_KERNEL_INLINE void RunTurns(const LinearArgs& args, int64_t tile, int64_t tiles) {
    alignas(32) SumRow sums[kBeside][kMostInTurns] = {};
    const int64_t row_tiles = RowTileCount(args.rows, kMaxRows);
    for (int64_t begin = 0; begin < args.k; begin += kTurn) {
      const int64_t end = begin + kTurn < args.k ? begin + kTurn : args.k;
      for (int64_t c = 0; c < tiles; ++c) {
        const T* w = static_cast<const T*>(args.packed_w) + (tile + c) * args.k * kColumnTile;
        for (int64_t i = 0; i < row_tiles; ++i) {
          const RowTile rows = SplitRows(args.rows, kMaxRows, i);
          const float* x = static_cast<const float*>(args.packed_x) + rows.begin * args.k;
          if (i == 0) {
            TakeTurn<kAheadBytes>(rows.count, x, w, begin, end, sums[c]);
          } else {
            TakeTurn<kNotAhead>(rows.count, x, w, begin, end, sums[c] + rows.begin);
          }
        }
      }
    }
    for (int64_t c = 0; c < tiles; ++c) FinishSums(args, 0, args.rows, tile + c, sums[c]);
  }

 private:
  static constexpr int64_t kTurn = 64;
  static constexpr int kNotAhead = -1;

  // k in [begin, end). It asks for what is kAhead bytes ahead, with kAhead 0 for `prefetch`, with
  // kNotAhead for nothing.
  template <int R, int C, int kAhead>
  LAMELLA_KERNEL_INLINE void AccumulateRange(const XView& x, const T* const (&w)[C], int64_t begin,
                                             int64_t end, Prefetch& prefetch, Tile<R, C>& acc) {
    int64_t k = begin;
    for (; k + kUnroll <= end; k += kUnroll) {
      if constexpr (kAhead == 0) prefetch.Ask<kPrefetches>();
      LAMELLA_UNROLL
      for (int u = 0; u < kUnroll; ++u) {
        AccumulateStep<T, R, C, kAhead>(x, w, kColumnTile, k + u, acc);
      }
    }
    for (; k < end; ++k) AccumulateStep<T, R, C, kAhead>(x, w, kColumnTile, k, acc);
  }

  template <int kAhead>
  LAMELLA_KERNEL_INLINE void TakeTurn(int64_t rows, const float* x, const T* w, int64_t begin,
                                      int64_t end, SumRow* sums) {
    switch (rows) {
      case 3:
        return AddToSums<3, kAhead>(x, w, begin, end, sums);
      case 4:
        return AddToSums<4, kAhead>(x, w, begin, end, sums);
      case 5:
        return AddToSums<5, kAhead>(x, w, begin, end, sums);
      default:
        return AddToSums<6, kAhead>(x, w, begin, end, sums);
    }
  }

  template <int R, int kAhead>
  static void AddToSums(const float* x, const T* w, int64_t begin, int64_t end, SumRow* sums) {
    Tile<R, 1> acc;
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      acc.lo[r][0] = _mm256_load_ps(sums[r]);
      acc.hi[r][0] = _mm256_load_ps(sums[r] + 8);
    }
    const T* const own[1] = {w};
    Prefetch none;
    AccumulateRange<R, 1, kAhead>({x, 1, R}, own, begin, end, none, acc);
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      _mm256_store_ps(sums[r], acc.lo[r][0]);
      _mm256_store_ps(sums[r] + 8, acc.hi[r][0]);
    }
  }
};

}  // namespace

template <typename T>
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  RunLinear<FloatWeights<T>>(args, tile_begin, tile_end);
}

template void Linear<float>(const LinearArgs&, int64_t, int64_t);
template void Linear<BF16>(const LinearArgs&, int64_t, int64_t);

}  // namespace lamella::kernels::avx2
