// How a linear layer of any number of rows is cut into register tiles on AVX512, whatever its weights
// are stored as: rows are split evenly into tiles of at most W::kMaxRows, which changes no bit since rows
// never meet. Internal to the room.
//
// W, the weights, has
//   W::Lora             element type of low-rank factors
//   W::kMaxRows         rows in one register tile at most
//   W::TileBytes(k)     of one packed column tile
//   W::RowBytes(k)      of one packed row of activations
//   W::Turns(k)         turns of the loop over k, in each of which W::Run asks once for others' memory
//   W::Run<R, C, kAlone>(args, row_begin, tile, prefetch)
//                       R rows of column tiles [tile, tile + C): sums and bias. With kAlone they are
//                       all rows, and it asks for its own memory instead
#pragma once

#include "server/kernels/avx512_kernels.h"
#include "server/kernels/avx512_view.h"
#include "server/kernels/epilogue.h"
#include "server/kernels/prefetch.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels::avx512 {
namespace {

// Bytes of its own tile that a pass asks for ahead of itself.
constexpr int kAheadBytes = 2048;

// Column tiles beside each other: enough chains to hide 4 cycles of latency on 2 units, and no more
// than 24 of 32 registers full of sums. One or two rows wait for memory, which gives most to few
// streams: 4 read up to 0.07 more of its bandwidth than 8.
constexpr int ColumnsFor(int rows) { return rows <= 2 ? 1 : rows <= 4 ? 6 : rows <= 8 ? 3 : 2; }

// Bias and the store of R rows of one column tile, whose sums over k are `rows`.
template <int R>
LAMELLA_KERNEL_INLINE void FinishRows(const LinearArgs& args, int64_t row_begin, int64_t tile,
                                      __m512* rows) {
  const int64_t column = tile * kColumnTile;
  const int64_t columns = args.n - column < kColumnTile ? args.n - column : kColumnTile;
  if (args.bias != nullptr) {
    float bias[kColumnTile] = {};
    for (int64_t i = 0; i < columns; ++i) bias[i] = args.bias[column + i];
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) rows[r] = _mm512_add_ps(rows[r], _mm512_loadu_ps(bias));
  }
  float* y = args.y + row_begin * args.ldy + column;
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) View::StoreFirst(y + r * args.ldy, rows[r], columns);
}

template <typename W, int R, int C, bool kAlone>
LAMELLA_KERNEL_INLINE void RunTiles(const LinearArgs& args, int64_t row_begin, int64_t tile,
                                    const Terms& terms, Prefetch* prefetch) {
  if constexpr (!kAlone) {
    prefetch->terms.template Begin<typename W::Lora>(terms, row_begin + R, tile, C);
  }
  W::template Run<R, C, kAlone>(args, row_begin, tile, prefetch);
}

// Picks the instance for `rows` rows of column tiles [tile, end).
template <typename W, bool kAlone, int R = W::kMaxRows>
void RunRows(const LinearArgs& args, RowTile rows, int64_t tile, int64_t end, const Terms& terms,
             Prefetch* prefetch) {
  if constexpr (R > 1) {
    if (rows.count < R) {
      return RunRows<W, kAlone, R - 1>(args, rows, tile, end, terms, prefetch);
    }
  }
  constexpr int C = ColumnsFor(R);
  for (; tile + C <= end; tile += C) {
    RunTiles<W, R, C, kAlone>(args, rows.begin, tile, terms, prefetch);
  }
  for (; tile < end; ++tile) RunTiles<W, R, 1, kAlone>(args, rows.begin, tile, terms, prefetch);
}

// Column tiles that every row tile passes over while they stay in the cache. One instance's columns
// do while all activations do too; more are better when activations come from further away each time.
template <typename W>
int64_t BlockTiles(const LinearArgs& args, int64_t row_tiles) {
  constexpr int64_t kNearBytes = int64_t{512} << 10;
  const auto columns =
      static_cast<int64_t>(ColumnsFor(static_cast<int>(CeilDiv(args.rows, row_tiles))));
  if (args.rows * W::RowBytes(args.k) <= kNearBytes) return columns;
  const int64_t bytes = W::TileBytes(args.k) * columns;
  return bytes < kNearBytes ? kNearBytes / bytes * columns : columns;
}

// Every row tile but an only one asks for its part of the next block.
template <typename W>
void RunProducts(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  if (args.rows == 0) return;
  const int64_t row_tiles = RowTileCount(args.rows, W::kMaxRows);
  if (row_tiles == 1) {
    return RunRows<W, true>(args, {0, args.rows}, tile_begin, tile_end, Terms(), nullptr);
  }
  const int64_t most = BlockTiles<W>(args, row_tiles);
  const int64_t tile_bytes = W::TileBytes(args.k);
  const int64_t tiles = CeilDiv(args.n, kColumnTile);
  for (int64_t tile = tile_begin; tile < tile_end; tile += most) {
    const int64_t end = tile + most < tile_end ? tile + most : tile_end;
    const char* const next = static_cast<const char*>(args.packed_w) + end * tile_bytes;
    const int64_t left = tiles - end;
    const int64_t next_tiles = most < left ? most : left;
    const int64_t part_bytes = CeilDiv(next_tiles * tile_bytes, row_tiles);
    Terms terms = AllTerms(args);
    for (int64_t i = 0; i < row_tiles; ++i) {
      const RowTile rows = SplitRows(args.rows, W::kMaxRows, i);
      terms.SkipTo(rows.begin);
      const int64_t passes = CeilDiv(end - tile, ColumnsFor(static_cast<int>(rows.count)));
      Prefetch prefetch;
      prefetch.next = next + i * part_bytes;
      prefetch.stride = CeilDiv(part_bytes, passes * W::Turns(args.k));
      RunRows<W, false>(args, rows, tile, end, terms, &prefetch);
    }
  }
}

template <typename W>
void RunLinear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  RunWithTerms<View, typename W::Lora>(args, tile_begin, tile_end, RunProducts<W>);
}

}  // namespace
}  // namespace lamella::kernels::avx512
