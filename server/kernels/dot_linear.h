// Linear layers on a bfloat16 dot product (vdpbf16ps) over a small vector type: the real one for
// AVX512_BF16 and a portable twin that runs anywhere, so that layout, tails and order are tested on
// machines without the instruction. Internal to the room.
//
// V adds to what epilogue.h asks for:
//   V::I                 16 pairs of bfloat16
//   V::LoadPairs(const void*), V::BroadcastPair(const uint32_t*)
//   V::Dot(acc, a, b)    acc + a.high * b.high, then + a.low * b.low, each rounded to nearest even,
//                        denormals flushed to zero, in each of 16 lanes
//   V::Zero, V::Add, V::StoreFirst(float*, F, count)
//
// Weights: pair_layout.h's. Activations: per row tile [ceil(k / 2)][kParts][rows of the tile] pairs.
//
// kParts is 1 or 2: x is rounded to one bfloat16, or split into the sum of two of them.
#pragma once

#include "server/kernels/epilogue.h"
#include "server/kernels/pair_layout.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels {
namespace {

template <typename V, int kParts>
struct DotLinear : PairLayout<2> {
  using F = typename V::F;

  static size_t PackedRowsBytes(int64_t rows, int64_t k) {
    return static_cast<size_t>(rows * PairsOf(k) * kParts) * sizeof(uint32_t);
  }

  static uint32_t Pair(BF16 low, BF16 high) {
    return static_cast<uint32_t>(high.bits) << 16 | low.bits;
  }

  // The part of x beyond its nearest bfloat16.
  static BF16 Rest(float x) { return RoundToBF16(x - ToFloat(RoundToBF16(x))); }

  static void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
                       int64_t tile_end, void* packed) {
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
      const RowTile part = SplitRows(rows, V::kMaxRows, tile);
      uint32_t* out = static_cast<uint32_t*>(packed) + part.begin * PairsOf(k) * kParts;
      for (int64_t i = 0; i < k; i += kPairs) {
        uint32_t* at = out + i / kPairs * kParts * part.count;
        for (int64_t r = 0; r < part.count; ++r) {
          const float* row = x + (part.begin + r) * ldx;
          const float low = row[i];
          const float high = i + 1 < k ? row[i + 1] : 0.0f;
          at[r] = Pair(RoundToBF16(low), RoundToBF16(high));
          if constexpr (kParts == 2) at[part.count + r] = Pair(Rest(low), Rest(high));
        }
      }
    }
  }

  // R rows x C column tiles.
  template <int R, int C>
  struct Tile {
    F at[R][C];
  };

  template <int R, int C>
  LAMELLA_KERNEL_INLINE void Accumulate(const uint32_t* x, const BF16* w, int64_t k,
                                        Tile<R, C>& acc) {
    constexpr int kAheadBytes = 1024;
    const int64_t stride = TileElements(k);
    for (int64_t pair = 0; pair < PairsOf(k); ++pair) {
      typename V::I column[C];
      LAMELLA_UNROLL
      for (int c = 0; c < C; ++c) {
        const BF16* at = w + c * stride + pair * kPairTile;
        column[c] = V::LoadPairs(at);
        __builtin_prefetch(reinterpret_cast<const char*>(at) + kAheadBytes, 0, 3);
      }
      LAMELLA_UNROLL
      for (int part = 0; part < kParts; ++part) {
        LAMELLA_UNROLL
        for (int r = 0; r < R; ++r) {
          const typename V::I value = V::BroadcastPair(x + (pair * kParts + part) * R + r);
          LAMELLA_UNROLL
          for (int c = 0; c < C; ++c) acc.at[r][c] = V::Dot(acc.at[r][c], value, column[c]);
        }
      }
    }
  }

  template <int R, int C>
  LAMELLA_KERNEL_INLINE void Finish(const LinearArgs& args, int64_t row_begin, int64_t tile, int c,
                                    Tile<R, C>& acc) {
    const int64_t column = tile * kColumnTile;
    const int64_t columns = args.n - column < kColumnTile ? args.n - column : kColumnTile;
    if (args.bias != nullptr) {
      float bias[kColumnTile] = {};
      for (int64_t i = 0; i < columns; ++i) bias[i] = args.bias[column + i];
      LAMELLA_UNROLL
      for (int r = 0; r < R; ++r) acc.at[r][c] = V::Add(acc.at[r][c], V::Load(bias));
    }
    float* y = args.y + row_begin * args.ldy + column;
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) V::StoreFirst(y + r * args.ldy, acc.at[r][c], columns);
  }

  template <int R, int C>
  static void RunTiles(const LinearArgs& args, int64_t row_begin, int64_t tile) {
    const BF16* w = static_cast<const BF16*>(args.packed_w) + tile * TileElements(args.k);
    const uint32_t* x =
        static_cast<const uint32_t*>(args.packed_x) + row_begin * PairsOf(args.k) * kParts;
    Tile<R, C> acc;
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      LAMELLA_UNROLL
      for (int c = 0; c < C; ++c) acc.at[r][c] = V::Zero();
    }
    Accumulate(x, w, args.k, acc);
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) Finish(args, row_begin, tile + c, c, acc);
  }

  // Picks the instance for `rows` rows.
  template <int C, int R = V::kMaxRows>
  static void RunRows(const LinearArgs& args, RowTile rows, int64_t tile) {
    if constexpr (R > 1) {
      if (rows.count < R) return RunRows<C, R - 1>(args, rows, tile);
    }
    RunTiles<R, C>(args, rows.begin, tile);
  }

  // Every row tile passes over C column tiles while those stay in the cache.
  template <int C>
  static void RunColumns(const LinearArgs& args, int64_t tile) {
    const int64_t row_tiles = RowTileCount(args.rows, V::kMaxRows);
    for (int64_t i = 0; i < row_tiles; ++i) {
      const RowTile rows = SplitRows(args.rows, V::kMaxRows, i);
      RunRows<C>(args, rows, tile);
    }
  }

  // A dot product takes 4 to 6 cycles and one starts in each: a row alone needs many column tiles
  // to hide that, while 8 rows fill 24 of 32 registers with 3.
  static void Products(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
    if (args.rows == 0) return;
    int64_t tile = tile_begin;
    if (args.rows == 1) {
      for (; tile + 8 <= tile_end; tile += 8) RunTiles<1, 8>(args, 0, tile);
    } else if (args.rows == 2) {
      for (; tile + 4 <= tile_end; tile += 4) RunTiles<2, 4>(args, 0, tile);
    }
    for (; tile + 3 <= tile_end; tile += 3) RunColumns<3>(args, tile);
    for (; tile < tile_end; ++tile) RunColumns<1>(args, tile);
  }

  static void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
    RunWithTerms<V, BF16>(args, tile_begin, tile_end, Products);
  }
};

}  // namespace
}  // namespace lamella::kernels
