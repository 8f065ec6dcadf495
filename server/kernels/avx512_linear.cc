// Linear layers on AVX512's fused multiply-add: every output element is one chain over k ascending,
// the same one as on AVX2, to the bit. Weights: bfloat16 in pair_layout.h's layout, where a shift
// widens the first of a pair and a mask the second; float [ceil(n / 16)][k][16]. Activations: per row
// tile float [k][rows of the tile].
#include "server/kernels/avx512_kernels.h"
#include "server/kernels/avx512_view.h"
#include "server/kernels/epilogue.h"
#include "server/kernels/pair_layout.h"
#include "server/kernels/prefetch.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels::avx512 {
namespace {

struct TileView : View {
  static constexpr int kMaxRows = kRowTile;
};

// Bytes of its own tile that a pass asks for ahead of itself, if it reads them first.
constexpr int kAheadBytes = 2048;

// Column tiles beside each other: enough chains to hide 4 cycles of latency on 2 units, and no more
// than 24 of 32 registers full of sums.
constexpr int ColumnsFor(int rows) { return rows <= 2 ? 8 : rows <= 4 ? 6 : rows <= 8 ? 3 : 2; }

LAMELLA_KERNEL_INLINE int64_t TileElements(int64_t k, float) { return k * kColumnTile; }
LAMELLA_KERNEL_INLINE int64_t TileElements(int64_t k, BF16) {
  return PairLayout<2>::TileElements(k);
}

template <int R, int C>
struct Tile {
  __m512 at[R][C];
};

template <int R, int C>
LAMELLA_KERNEL_INLINE void MultiplyAdd(const float* x, const __m512 (&w)[C], Tile<R, C>& acc) {
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) {
    const __m512 value = _mm512_set1_ps(x[r]);
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) acc.at[r][c] = _mm512_fmadd_ps(value, w[c], acc.at[r][c]);
  }
}

// With kAlone a pass is the only one over its columns; else it asks for others' meanwhile.
template <int R, int C, bool kAlone>
LAMELLA_KERNEL_INLINE void Accumulate(const float* x, const float* w, int64_t k, Prefetch* prefetch,
                                      Tile<R, C>& acc) {
  for (int64_t i = 0; i < k; ++i) {
    if constexpr (!kAlone) prefetch->Ask<1>();
    __m512 columns[C];
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      const float* at = w + c * k * kColumnTile + i * kColumnTile;
      columns[c] = _mm512_loadu_ps(at);
      if constexpr (kAlone) {
        __builtin_prefetch(reinterpret_cast<const char*>(at) + kAheadBytes, 0, 3);
      }
    }
    MultiplyAdd<R, C>(x + i * R, columns, acc);
  }
}

template <int R, int C, bool kAlone>
LAMELLA_KERNEL_INLINE void Accumulate(const float* x, const BF16* w, int64_t k, Prefetch* prefetch,
                                      Tile<R, C>& acc) {
  const int64_t stride = TileElements(k, BF16());
  const __m512i mask = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
  int64_t i = 0;
  for (; i + 2 <= k; i += 2) {
    if constexpr (!kAlone) prefetch->Ask<1>();
    __m512i pairs[C];
    __m512 columns[C];
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      const BF16* at = w + c * stride + i * kColumnTile;
      pairs[c] = _mm512_loadu_si512(at);
      columns[c] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs[c], 16));
      if constexpr (kAlone) {
        __builtin_prefetch(reinterpret_cast<const char*>(at) + kAheadBytes, 0, 3);
      }
    }
    MultiplyAdd<R, C>(x + i * R, columns, acc);
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      columns[c] = _mm512_castsi512_ps(_mm512_and_si512(pairs[c], mask));
    }
    MultiplyAdd<R, C>(x + (i + 1) * R, columns, acc);
  }
  if (i == k) return;
  __m512 columns[C];
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) {
    const __m512i pairs = _mm512_loadu_si512(w + c * stride + i * kColumnTile);
    columns[c] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  }
  MultiplyAdd<R, C>(x + i * R, columns, acc);
}

template <typename T, int R>
LAMELLA_KERNEL_INLINE void FinishRows(const LinearArgs& args, int64_t row_begin, int64_t tile,
                                      const Terms& terms, __m512* rows) {
  const int64_t column = tile * kColumnTile;
  const int64_t columns = args.n - column < kColumnTile ? args.n - column : kColumnTile;
  if (args.bias != nullptr) {
    float bias[kColumnTile] = {};
    for (int64_t i = 0; i < columns; ++i) bias[i] = args.bias[column + i];
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) rows[r] = _mm512_add_ps(rows[r], _mm512_loadu_ps(bias));
  }
  if (args.lora_count > 0) {
    SumRow sums[R];
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) View::Store(sums[r], rows[r]);
    Expand<TileView, T>(terms, row_begin, R, tile, sums);
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) rows[r] = View::Load(sums[r]);
  }
  float* y = args.y + row_begin * args.ldy + column;
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) View::StoreFirst(y + r * args.ldy, rows[r], columns);
}

template <typename T, int R, int C, bool kAlone>
void RunTiles(const LinearArgs& args, int64_t row_begin, int64_t tile, const Terms& terms,
              Prefetch* prefetch) {
  PrefetchTerms<T>(terms, row_begin + R, tile, C);
  const T* w = static_cast<const T*>(args.packed_w) + tile * TileElements(args.k, T());
  const float* x = static_cast<const float*>(args.packed_x) + row_begin * args.k;
  Tile<R, C> acc;
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) {
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) acc.at[r][c] = _mm512_setzero_ps();
  }
  Accumulate<R, C, kAlone>(x, w, args.k, prefetch, acc);
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) {
    __m512 rows[R];
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) rows[r] = acc.at[r][c];
    FinishRows<T, R>(args, row_begin, tile + c, terms, rows);
  }
}

// Picks the instance for `rows` rows of column tiles [tile, end).
template <typename T, bool kAlone, int R = kRowTile>
void RunRows(const LinearArgs& args, RowTile rows, int64_t tile, int64_t end, const Terms& terms,
             Prefetch* prefetch) {
  if constexpr (R > 1) {
    if (rows.count < R) {
      return RunRows<T, kAlone, R - 1>(args, rows, tile, end, terms, prefetch);
    }
  }
  constexpr int C = ColumnsFor(R);
  for (; tile + C <= end; tile += C) {
    RunTiles<T, R, C, kAlone>(args, rows.begin, tile, terms, prefetch);
  }
  for (; tile < end; ++tile) RunTiles<T, R, 1, kAlone>(args, rows.begin, tile, terms, prefetch);
}

// Column tiles that every row tile passes over while they stay in the cache. One instance's columns
// do while all activations do too; more are better when activations come from further away each time.
template <typename T>
int64_t BlockTiles(const LinearArgs& args, int64_t row_tiles) {
  constexpr int64_t kNearBytes = int64_t{512} << 10;
  const auto columns =
      static_cast<int64_t>(ColumnsFor(static_cast<int>(CeilDiv(args.rows, row_tiles))));
  if (static_cast<int64_t>(PackedRowsBytes(args.rows, args.k)) <= kNearBytes) return columns;
  const auto bytes = TileElements(args.k, T()) * static_cast<int64_t>(sizeof(T)) * columns;
  return bytes < kNearBytes ? kNearBytes / bytes * columns : columns;
}

}  // namespace

size_t PackedRowsBytes(int64_t rows, int64_t k) {
  return static_cast<size_t>(rows * k) * sizeof(float);
}

void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
              int64_t tile_end, void* packed) {
  for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
    const RowTile part = SplitRows(rows, kRowTile, tile);
    float* out = static_cast<float*>(packed) + part.begin * k;
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t r = 0; r < part.count; ++r) *out++ = x[(part.begin + r) * ldx + i];
    }
  }
}

// Every row tile but an only one asks for its part of the next block.
template <typename T>
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  if (args.rows == 0) return;
  const int64_t row_tiles = RowTileCount(args.rows, kRowTile);
  if (row_tiles == 1) {
    return RunRows<T, true>(args, {0, args.rows}, tile_begin, tile_end, AllTerms(args), nullptr);
  }
  const int64_t most = BlockTiles<T>(args, row_tiles);
  const int64_t tile_bytes = TileElements(args.k, T()) * static_cast<int64_t>(sizeof(T));
  for (int64_t tile = tile_begin; tile < tile_end; tile += most) {
    const int64_t end = tile + most < tile_end ? tile + most : tile_end;
    const char* const next = static_cast<const char*>(args.packed_w) + end * tile_bytes;
    const int64_t next_tiles = end + most < tile_end ? most : tile_end - end;
    const int64_t part_bytes = CeilDiv(next_tiles * tile_bytes, row_tiles);
    Terms terms = AllTerms(args);
    for (int64_t i = 0; i < row_tiles; ++i) {
      const RowTile rows = SplitRows(args.rows, kRowTile, i);
      terms.SkipTo(rows.begin);
      const int64_t turns =
          CeilDiv(end - tile, ColumnsFor(static_cast<int>(rows.count))) * args.k / 2;
      Prefetch prefetch = {next + i * part_bytes, CeilDiv(part_bytes, turns + 1)};
      RunRows<T, false>(args, rows, tile, end, terms, &prefetch);
    }
  }
}

template void Linear<float>(const LinearArgs&, int64_t, int64_t);
template void Linear<BF16>(const LinearArgs&, int64_t, int64_t);

using Pairs = PairLayout<2>;

size_t PackedLinearBytes(int64_t n, int64_t k) { return Pairs::PackedLinearBytes(n, k); }
void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                void* packed) {
  Pairs::PackLinear(w, row_begin, rows, n, k, packed);
}
void UnpackRow(const void* packed, int64_t n, int64_t k, int64_t row, float* out) {
  Pairs::UnpackRow(packed, n, k, row, out);
}
void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed) {
  Pairs::PackLoraB(b, n, rank, scale, packed);
}

}  // namespace lamella::kernels::avx512
