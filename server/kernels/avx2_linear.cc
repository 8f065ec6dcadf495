// Linear layers on AVX2+FMA. Weights are packed [ceil(n / 16)][k][16], activations per row tile
// [k][rows of the tile]. Rows are split evenly into tiles of at most 6: 8 rows are 4 + 4, which
// changes no bit since rows never meet.
#include "server/kernels/avx2_kernels.h"
#include "server/kernels/avx2_tile.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels::avx2 {
namespace {

// k steps in one turn of the loop. Measured on Zen 3, six rows reach 0.69 of peak with 1, 0.75 with 4.
constexpr int kUnroll = 8;
constexpr int kAheadBytes = 1024;

// The part of the next column tile that one row tile's pass asks for while it computes: so many
// addresses in every turn, this far apart.
template <typename T>
inline constexpr int kPrefetches = static_cast<int>(sizeof(T));
struct Prefetch {
  const char* next = nullptr;
  int64_t stride = 0;
};

// Bias, low-rank terms and the store of tile c of `acc`: column tile `tile` of rows
// [row_begin, row_begin + R).
template <typename T, int R, int C>
LAMELLA_KERNEL_INLINE void Finish(const LinearArgs& args, int64_t row_begin, int64_t tile, int c,
                                  const Terms& terms, Tile<R, C>& acc) {
  const int64_t column = tile * kColumnTile;
  const int64_t columns = args.n - column < kColumnTile ? args.n - column : kColumnTile;
  if (args.bias != nullptr) {
    float bias[kColumnTile] = {};
    for (int64_t i = 0; i < columns; ++i) bias[i] = args.bias[column + i];
    const Vec16 add = Load16(bias);
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      acc.lo[r][c] = _mm256_add_ps(acc.lo[r][c], add.lo);
      acc.hi[r][c] = _mm256_add_ps(acc.hi[r][c], add.hi);
    }
  }
  float* y = args.y + row_begin * args.ldy + column;
  if (args.lora_count == 0 && columns == kColumnTile) {
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) View16::Store(y + r * args.ldy, {acc.lo[r][c], acc.hi[r][c]});
    return;
  }
  SumRow sums[kMaxRows];
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) View16::Store(sums[r], {acc.lo[r][c], acc.hi[r][c]});
  Expand<View16, T>(terms, row_begin, R, tile, sums);
  for (int r = 0; r < R; ++r) {
    for (int64_t i = 0; i < columns; ++i) y[r * args.ldy + i] = sums[r][i];
  }
}

template <typename T, int R, int C, int kAhead>
LAMELLA_KERNEL_INLINE void RunTiles(const LinearArgs& args, const float* x, int64_t row_begin,
                                    int64_t tile, Prefetch prefetch, const Terms& terms) {
  const T* w[C];
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) {
    w[c] = static_cast<const T*>(args.packed_w) + (tile + c) * args.k * kColumnTile;
  }
  const XView view = {x, 1, R};
  Tile<R, C> acc;
  Clear(acc);
  int64_t k = 0;
  for (; k + kUnroll <= args.k; k += kUnroll) {
    if constexpr (kAhead == 0) {
      LAMELLA_UNROLL
      for (int i = 0; i < kPrefetches<T>; ++i) {
        _mm_prefetch(prefetch.next, _MM_HINT_T1);
        prefetch.next += prefetch.stride;
      }
    }
    LAMELLA_UNROLL
    for (int u = 0; u < kUnroll; ++u) {
      AccumulateStep<T, R, C, kAhead>(view, w, kColumnTile, k + u, acc);
    }
  }
  for (; k < args.k; ++k) AccumulateStep<T, R, C, kAhead>(view, w, kColumnTile, k, acc);
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) Finish<T, R, C>(args, row_begin, tile + c, c, terms, acc);
}

// All rows fit into one row tile: several column tiles at once keep enough chains in flight that
// the latency of an addition is hidden and the memory bus is the limit.
template <typename T, int R, int C>
void FewRows(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  const float* x = static_cast<const float*>(args.packed_x);
  const Terms terms = AllTerms(args);
  int64_t tile = tile_begin;
  for (; tile + C <= tile_end; tile += C) {
    PrefetchTerms<T>(terms, args.rows, tile, C);
    RunTiles<T, R, C, kAheadBytes>(args, x, 0, tile, Prefetch(), terms);
  }
  for (; C > 1 && tile < tile_end; ++tile) {
    PrefetchTerms<T>(terms, args.rows, tile, 1);
    RunTiles<T, R, 1, kAheadBytes>(args, x, 0, tile, Prefetch(), terms);
  }
}

template <typename T>
void RunRowTile(const LinearArgs& args, const RowTile& rows, int64_t tile, Prefetch prefetch,
                const Terms& terms) {
  const float* x = static_cast<const float*>(args.packed_x) + rows.begin * args.k;
  switch (rows.count) {
    case 3:
      return RunTiles<T, 3, 1, 0>(args, x, rows.begin, tile, prefetch, terms);
    case 4:
      return RunTiles<T, 4, 1, 0>(args, x, rows.begin, tile, prefetch, terms);
    case 5:
      return RunTiles<T, 5, 1, 0>(args, x, rows.begin, tile, prefetch, terms);
    default:
      return RunTiles<T, 6, 1, 0>(args, x, rows.begin, tile, prefetch, terms);
  }
}

// The column tile stays in the cache while every row tile passes over it, and the next one is
// fetched meanwhile.
template <typename T>
void ManyRows(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  const int64_t row_tiles = RowTileCount(args.rows, kMaxRows);
  const int64_t tile_bytes = args.k * kColumnTile * static_cast<int64_t>(sizeof(T));
  const int64_t part_bytes = CeilDiv(tile_bytes, row_tiles);
  const int64_t stride = CeilDiv(part_bytes, CeilDiv(args.k, kUnroll) * kPrefetches<T>);
  for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
    const char* const w = static_cast<const char*>(args.packed_w) + tile * tile_bytes;
    const bool last = tile + 1 == tile_end;
    Terms terms = AllTerms(args);
    for (int64_t i = 0; i < row_tiles; ++i) {
      const RowTile rows = SplitRows(args.rows, kMaxRows, i);
      terms.SkipTo(rows.begin);
      PrefetchTerms<T>(terms, rows.begin + rows.count, tile, 1);
      const Prefetch prefetch =
          last ? Prefetch{w, 0} : Prefetch{w + tile_bytes + i * part_bytes, stride};
      RunRowTile<T>(args, rows, tile, prefetch, terms);
    }
  }
}

}  // namespace

template <typename T>
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  switch (args.rows) {
    case 0:
      return;
    case 1:
      return FewRows<T, 1, 4>(args, tile_begin, tile_end);
    case 2:
      return FewRows<T, 2, 2>(args, tile_begin, tile_end);
    case 3:
      return FewRows<T, 3, 1>(args, tile_begin, tile_end);
    case 4:
      return FewRows<T, 4, 1>(args, tile_begin, tile_end);
    case 5:
      return FewRows<T, 5, 1>(args, tile_begin, tile_end);
    case 6:
      return FewRows<T, 6, 1>(args, tile_begin, tile_end);
    default:
      return ManyRows<T>(args, tile_begin, tile_end);
  }
}

template void Linear<float>(const LinearArgs&, int64_t, int64_t);
template void Linear<BF16>(const LinearArgs&, int64_t, int64_t);

}  // namespace lamella::kernels::avx2
