// How a linear layer of any number of rows is cut into register tiles on AVX2, whatever its weights
// are stored as: rows are split evenly into tiles of at most 6 (8 rows are 4 + 4), which changes no
// bit since rows never meet. Internal to the room.
//
// W, the weights, has
//   W::Lora              element type of low-rank factors
//   W::kPrefetches       addresses of the next column tile asked for in every turn of its loop
//   W::TileBytes(k)      of one packed column tile
//   W::Turns(k)          turns of the loop over k
//   W::Run<R, C, kAhead>(args, row_begin, tile, prefetch)
//                        R rows of column tiles [tile, tile + C), with all that comes after the sum
//   W::kBesideOfThree    column tiles beside each other of 3 rows
//   W::kMostInTurns      from 4 up to so many rows are multiplied by RunTurns; 0 for none, or
//   W::kBeside           most column tiles of
//   W::RunTurns(args, tile, tiles)
//                        all rows of column tiles [tile, tile + tiles), with all that comes after the sum
#pragma once

#include "server/kernels/avx2_kernels.h"
#include "server/kernels/avx2_tile.h"
#include "server/kernels/prefetch.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels::avx2 {
namespace {

// Bytes of its own tile that a pass asks for ahead of itself, if it reads them first.
constexpr int kAheadBytes = 1024;

// Bias and the store of `rows` rows of one column tile, whose sums over k are `sums`.
LAMELLA_KERNEL_INLINE void FinishSums(const LinearArgs& args, int64_t row_begin, int64_t rows,
                                      int64_t tile, SumRow* sums) {
  const int64_t column = tile * kColumnTile;
  const int64_t columns = args.n - column < kColumnTile ? args.n - column : kColumnTile;
  if (args.bias != nullptr) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < columns; ++i) sums[r][i] += args.bias[column + i];
    }
  }
  float* y = args.y + row_begin * args.ldy + column;
  for (int64_t r = 0; r < rows; ++r) {
    if (columns == kColumnTile) {
      View16::Store(y + r * args.ldy, View16::Load(sums[r]));
      continue;
    }
    for (int64_t i = 0; i < columns; ++i) y[r * args.ldy + i] = sums[r][i];
  }
}

// All rows fit into one row tile: several column tiles at once keep enough chains in flight that
// the latency of an addition is hidden and the memory bus is the limit.
template <typename W, int R, int C>
void FewRows(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  int64_t tile = tile_begin;
  for (; tile + C <= tile_end; tile += C) {
    W::template Run<R, C, kAheadBytes>(args, 0, tile, Prefetch());
  }
  for (; C > 1 && tile < tile_end; ++tile) {
    W::template Run<R, 1, kAheadBytes>(args, 0, tile, Prefetch());
  }
}

template <typename W>
void RunRowTile(const LinearArgs& args, const RowTile& rows, int64_t tile, Prefetch prefetch) {
  switch (rows.count) {
    case 3:
      return W::template Run<3, 1, 0>(args, rows.begin, tile, prefetch);
    case 4:
      return W::template Run<4, 1, 0>(args, rows.begin, tile, prefetch);
    case 5:
      return W::template Run<5, 1, 0>(args, rows.begin, tile, prefetch);
    default:
      return W::template Run<6, 1, 0>(args, rows.begin, tile, prefetch);
  }
}

// The column tile stays in the cache while every row tile passes over it and asks for its part of the
// next one.
template <typename W>
void ManyRows(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  const int64_t row_tiles = RowTileCount(args.rows, kMaxRows);
  const int64_t tile_bytes = W::TileBytes(args.k);
  const int64_t part_bytes = CeilDiv(tile_bytes, row_tiles);
  const int64_t stride = CeilDiv(part_bytes, W::Turns(args.k) * W::kPrefetches);
  for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
    const char* const w = static_cast<const char*>(args.packed_w) + tile * tile_bytes;
    const bool last = (tile + 1) * kColumnTile >= args.n;
    Terms terms = AllTerms(args);
    for (int64_t i = 0; i < row_tiles; ++i) {
      const RowTile rows = SplitRows(args.rows, kMaxRows, i);
      terms.SkipTo(rows.begin);
      Prefetch prefetch;
      prefetch.next = last ? w : w + tile_bytes + i * part_bytes;
      prefetch.stride = last ? 0 : stride;
      prefetch.terms.Begin<typename W::Lora>(terms, rows.begin + rows.count, tile, 1);
      RunRowTile<W>(args, rows, tile, prefetch);
    }
  }
}

template <typename W>
void RowsInTurns(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  for (int64_t tile = tile_begin; tile < tile_end; tile += W::kBeside) {
    W::RunTurns(args, tile, tile + W::kBeside < tile_end ? W::kBeside : tile_end - tile);
  }
}

template <typename W>
void RunProducts(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  constexpr int kMostInFewRows = 3;
  if constexpr (W::kMostInTurns > 0) {
    if (args.rows > kMostInFewRows && args.rows <= W::kMostInTurns) {
      return RowsInTurns<W>(args, tile_begin, tile_end);
    }
  }
  switch (args.rows) {
    case 0:
      return;
    case 1:
      return FewRows<W, 1, 4>(args, tile_begin, tile_end);
    case 2:
      return FewRows<W, 2, 2>(args, tile_begin, tile_end);
    case 3:
      return FewRows<W, 3, W::kBesideOfThree>(args, tile_begin, tile_end);
    case 4:
      return FewRows<W, 4, 1>(args, tile_begin, tile_end);
    case 5:
      return FewRows<W, 5, 1>(args, tile_begin, tile_end);
    case 6:
      return FewRows<W, 6, 1>(args, tile_begin, tile_end);
    default:
      return ManyRows<W>(args, tile_begin, tile_end);
  }
}

template <typename W>
void RunLinear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  RunWithTerms<View16, typename W::Lora>(args, tile_begin, tile_end, RunProducts<W>);
}

}  // namespace
}  // namespace lamella::kernels::avx2
