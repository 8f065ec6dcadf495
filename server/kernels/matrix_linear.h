// Linear layers on matrix tiles (AMX's tdpbf16ps): up to 16 rows of x times 16 columns of W over 32
// of k in one instruction. A template over the tile registers: the real ones, and a portable twin
// that runs anywhere. Internal to the room.
//
// T, the tile registers, has
//   T::View                     16 floats, as epilogue.h sees them
//   T::Configure(rows0, rows1)  the shape of what follows: two row tiles of so many rows (the second
//                               may be 0); forgets the sums
//   T::Zero<R>()                the sums of R row tiles
//   T::Step<R, C, kParts>(x, part, w)  adds R row tiles times C column tiles w[C] over 32 of k: first
//                               x[R], then what lies part[R] elements behind
//   T::Load<r, c>(sums, ld)     sums of row tile r and column tile c from float [rows][ld]
//   T::Store<r, c>(out, ld)     the same to float [rows][ld]
//   T::Release()                forgets the shape
//   T::Split<kParts>(x, count, part, out)  32 bfloat16: the first `count` of x rounded to nearest, then
//                               zeros; `part` elements behind them what is left of x, if there are two
//   T::kFewRows                 up to so many rows are multiplied without tile registers, to the same
//                               bits; 0 for none, or
//   T::kFewColumns              column tiles beside each other there
//   T::SumFew<R, C, kParts>(x, w, stride, steps, sums)  the sums over k of R rows of C column tiles
//                               `stride` elements apart, float [C][R][16]; x is float
//                               [steps][kParts][R][32]
//   T::SplitWide<kParts>(x, count, part, out)  as Split, to floats
//
// Each instruction multiplies pairs of k into two sums of their own, joins these, and adds them to
// the element's sum: an order that depends on k alone, so whatever the number of rows.
//
// kParts is 1 or 2: x is rounded to one bfloat16, or split into the sum of two of them.
//
// Weights: pair_layout.h's with k padded to 32. Activations: per row tile
// bfloat16 [ceil(k / 32)][kParts][rows of the tile][32]; of T::kFewRows rows at most, the same as floats.
#pragma once

#include "server/kernels/epilogue.h"
#include "server/kernels/pair_layout.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels {
namespace {

inline constexpr int kMatrixDepth = 32;  // of k in one step
inline constexpr int kMatrixRows = 16;

// Two row tiles that follow each other; the second may be empty.
struct RowPair {
  int64_t begin = 0;
  int64_t first = 0;
  int64_t second = 0;

  LAMELLA_KERNEL_MEMBER bool SameShape(const RowPair& other) const {
    return first == other.first && second == other.second;
  }
};

LAMELLA_KERNEL_INLINE RowPair PairRows(int64_t rows, int64_t most, int64_t tile) {
  const RowTile first = SplitRows(rows, most, tile);
  const bool both = tile + 1 < RowTileCount(rows, most);
  return {first.begin, first.count, both ? SplitRows(rows, most, tile + 1).count : 0};
}

// Bias and the store of `rows` rows of one column tile, whose sums over k are `sums`.
template <typename View>
void FinishMatrixRows(const LinearArgs& args, int64_t row_begin, int64_t rows, int64_t tile,
                      SumRow* sums) {
  const int64_t column = tile * kColumnTile;
  const int64_t columns = args.n - column < kColumnTile ? args.n - column : kColumnTile;
  if (args.bias != nullptr) {
    float bias[kColumnTile] = {};
    for (int64_t i = 0; i < columns; ++i) bias[i] = args.bias[column + i];
    for (int64_t i = 0; i < rows; ++i) {
      View::Store(sums[i], View::Add(View::Load(sums[i]), View::Load(bias)));
    }
  }
  float* y = args.y + row_begin * args.ldy + column;
  for (int64_t i = 0; i < rows; ++i) {
    View::StoreFirst(y + i * args.ldy, View::Load(sums[i]), columns);
  }
}

// Steps that a pass asks for ahead of itself.
inline constexpr int64_t kAheadSteps = 4;
// Asks for the 16 lines of a step of W, 1 KiB, that will be read so many steps later.
LAMELLA_KERNEL_INLINE void PrefetchStep(const void* w) {
  constexpr int kLines = 16;
  constexpr int kLineBytes = 64;
  const char* const at = static_cast<const char*>(w) + kAheadSteps * kLines * kLineBytes;
  LAMELLA_UNROLL
  for (int line = 0; line < kLines; ++line) __builtin_prefetch(at + line * kLineBytes, 0, 3);
}

// Column tiles [tile, end) of R rows at most, kColumns at a time: Kernel::RunFewColumns of as many
// rows as there are.
template <typename Kernel, int kColumns, int R>
void RunFewRows(const LinearArgs& args, int64_t tile, int64_t end) {
  if constexpr (R > 1) {
    if (args.rows < R) return RunFewRows<Kernel, kColumns, R - 1>(args, tile, end);
  }
  if (args.rows < R) return;
  for (; tile + kColumns <= end; tile += kColumns) {
    Kernel::template RunFewColumns<R, kColumns>(args, tile);
  }
  for (; tile < end; ++tile) Kernel::template RunFewColumns<R, 1>(args, tile);
}

template <typename T, int kParts>
struct MatrixLinear : PairLayout<kMatrixDepth> {
  using View = typename T::View;
  static constexpr int64_t kStepElements = kMatrixDepth * kColumnTile;  // of W

  static int64_t StepsOf(int64_t k) { return CeilDiv(k, kMatrixDepth); }

  // Never less for more rows: who has room for many packs few as well.
  static size_t PackedRowsBytes(int64_t rows, int64_t k) {
    const int64_t few = (rows < T::kFewRows ? rows : T::kFewRows) * kFloatParts;
    return static_cast<size_t>((rows > few ? rows : few) * StepsOf(k) * kParts * kMatrixDepth) *
           sizeof(BF16);
  }

  static void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
                       int64_t tile_end, void* packed) {
    if constexpr (T::kFewRows > 0) {
      if (rows <= T::kFewRows) {
        if (tile_begin < tile_end) PackFew(x, ldx, rows, k, static_cast<float*>(packed));
        return;
      }
    }
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
      const RowTile part = SplitRows(rows, kMatrixRows, tile);
      BF16* out = static_cast<BF16*>(packed) + part.begin * StepsOf(k) * kParts * kMatrixDepth;
      const int64_t part_elements = part.count * kMatrixDepth;
      for (int64_t step = 0; step < StepsOf(k); ++step, out += kParts * part_elements) {
        for (int64_t r = 0; r < part.count; ++r) {
          const float* from = x + (part.begin + r) * ldx + step * kMatrixDepth;
          const int64_t count = k - step * kMatrixDepth;
          T::template Split<kParts>(from, count < kMatrixDepth ? count : kMatrixDepth,
                                    part_elements, out + r * kMatrixDepth);
        }
      }
    }
  }

  static void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
    RunWithTerms<View, BF16>(args, tile_begin, tile_end, Products);
  }

  // Every pair of row tiles passes over a block of W while that stays in the cache. Between the blocks
  // of k the sums wait in y, which changes no bit of them.
  static void Products(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
    if constexpr (T::kFewRows > 0) {
      if (args.rows <= T::kFewRows) {
        return RunFewRows<MatrixLinear, T::kFewColumns, T::kFewRows>(args, tile_begin, tile_end);
      }
    }
    const bool many = args.rows > kFewPasses * 2 * kMatrixRows;
    const int64_t most = many ? kBlockTiles : 2;
    RowPair shape;
    for (int64_t begin = tile_begin; begin < tile_end; begin += most) {
      WeightBlock block = {begin, begin + most < tile_end ? begin + most : tile_end};
      // y has no room for the sums of a column tile that lacks columns.
      const bool whole = block.tile_end * kColumnTile <= args.n;
      const int64_t depth = many && whole ? kBlockSteps : StepsOf(args.k);
      for (; block.step_end < StepsOf(args.k); block.step_begin = block.step_end) {
        const int64_t step_end = block.step_begin + depth;
        block.step_end = step_end < StepsOf(args.k) ? step_end : StepsOf(args.k);
        RunBlock(args, block, shape);
      }
    }
    if (shape.first > 0) T::Release();
  }

  // For RunFewRows.
  template <int R, int C>
  LAMELLA_KERNEL_INLINE void RunFewColumns(const LinearArgs& args, int64_t tile) {
    const BF16* w = static_cast<const BF16*>(args.packed_w) + tile * TileElements(args.k);
    alignas(64) SumRow sums[C][R];
    T::template SumFew<R, C, kParts>(static_cast<const float*>(args.packed_x), w,
                                     TileElements(args.k), StepsOf(args.k), sums[0]);
    for (int c = 0; c < C; ++c) FinishMatrixRows<View>(args, 0, R, tile + c, sums[c]);
  }

 private:
  static constexpr int64_t kFloatParts = sizeof(float) / sizeof(BF16);

  static void PackFew(const float* x, int64_t ldx, int64_t rows, int64_t k, float* packed) {
    for (int64_t step = 0; step < StepsOf(k); ++step) {
      const int64_t left = k - step * kMatrixDepth;
      for (int64_t r = 0; r < rows; ++r, packed += kMatrixDepth) {
        T::template SplitWide<kParts>(x + r * ldx + step * kMatrixDepth,
                                      left < kMatrixDepth ? left : kMatrixDepth,
                                      rows * kMatrixDepth, packed);
      }
      packed += (kParts - 1) * rows * kMatrixDepth;
    }
  }

  // Passes over W that are too few for blocks: memory is what they wait for.
  static constexpr int64_t kFewPasses = 2;
  // 1 MiB of W, half of a second-level cache. Wider blocks read x less often, which is as wide as its
  // parts are many; deeper ones the sums.
  static constexpr int64_t kBlockTiles = 16 * kParts;
  static constexpr int64_t kBlockSteps = 64 / kParts;

  // Column tiles and steps of k.
  struct WeightBlock {
    int64_t tile_begin = 0;
    int64_t tile_end = 0;
    int64_t step_begin = 0;
    int64_t step_end = 0;
  };

  // `shape` is that of the tile registers.
  static void RunBlock(const LinearArgs& args, const WeightBlock& block, RowPair& shape) {
    const int64_t row_tiles = RowTileCount(args.rows, kMatrixRows);
    for (int64_t i = 0; i < row_tiles; i += 2) {
      const RowPair rows = PairRows(args.rows, kMatrixRows, i);
      if (!rows.SameShape(shape)) T::Configure(rows.first, rows.second);
      shape = rows;
      int64_t tile = block.tile_begin;
      for (; tile + 2 <= block.tile_end; tile += 2) RunColumns<2>(args, rows, block, tile);
      if (tile < block.tile_end) RunColumns<1>(args, rows, block, tile);
    }
  }

  template <int C>
  LAMELLA_KERNEL_INLINE void RunColumns(const LinearArgs& args, const RowPair& rows,
                                        const WeightBlock& block, int64_t tile) {
    if (rows.second == 0) {
      Run<1, C>(args, rows, block, tile);
    } else {
      Run<2, C>(args, rows, block, tile);
    }
  }

  template <int R, int C>
  static void Run(const LinearArgs& args, const RowPair& rows, const WeightBlock& block,
                  int64_t tile) {
    const int64_t steps = StepsOf(args.k);
    const bool first = rows.begin == 0;  // to read these columns
    const BF16* packed_x = static_cast<const BF16*>(args.packed_x);
    const BF16* packed_w = static_cast<const BF16*>(args.packed_w);
    const int64_t x_rows[2] = {rows.begin, rows.begin + rows.first};
    const int64_t part[2] = {rows.first * kMatrixDepth, rows.second * kMatrixDepth};
    const BF16* x[R];
    const BF16* w[C];
    for (int r = 0; r < R; ++r) {
      x[r] = packed_x + kParts * (x_rows[r] * steps * kMatrixDepth + block.step_begin * part[r]);
    }
    for (int c = 0; c < C; ++c) {
      w[c] = packed_w + (tile + c) * TileElements(args.k) + block.step_begin * kStepElements;
    }
    if (block.step_begin == 0) {
      T::template Zero<R>();
    } else {
      Resume<R, C>(args.y + rows.begin * args.ldy + tile * kColumnTile, rows.first, args.ldy);
    }
    const int64_t count = block.step_end - block.step_begin;
    for (int64_t step = 0; step < count; ++step) {
      if (first) {
        // Behind the block's part of a column tile comes that of the tile after next.
        const int64_t skip =
            step + kAheadSteps < count ? 0 : C * TileElements(args.k) - count * kStepElements;
        for (int c = 0; c < C; ++c) PrefetchStep(w[c] + skip);
      }
      T::template Step<R, C, kParts>(x, part, w);
      for (int r = 0; r < R; ++r) x[r] += kParts * part[r];
      for (int c = 0; c < C; ++c) w[c] += kStepElements;
    }
    const bool last = block.step_end == steps;
    Finish<0, 0>(args, rows.begin, rows.first, tile, last);
    if constexpr (C == 2) Finish<0, 1>(args, rows.begin, rows.first, tile + 1, last);
    if constexpr (R == 2) {
      Finish<1, 0>(args, x_rows[1], rows.second, tile, last);
      if constexpr (C == 2) Finish<1, 1>(args, x_rows[1], rows.second, tile + 1, last);
    }
  }

  // The sums of the steps before, y of the first row and column; the second row tile begins `rows` below.
  template <int R, int C>
  LAMELLA_KERNEL_INLINE void Resume(const float* y, int64_t rows, int64_t ldy) {
    T::template Load<0, 0>(y, ldy);
    if constexpr (C == 2) T::template Load<0, 1>(y + kColumnTile, ldy);
    if constexpr (R == 2) {
      T::template Load<1, 0>(y + rows * ldy, ldy);
      if constexpr (C == 2) T::template Load<1, 1>(y + rows * ldy + kColumnTile, ldy);
    }
  }

  template <int r, int c>
  LAMELLA_KERNEL_INLINE void Finish(const LinearArgs& args, int64_t row_begin, int64_t rows,
                                    int64_t tile, bool last) {
    const int64_t column = tile * kColumnTile;
    const int64_t columns = args.n - column < kColumnTile ? args.n - column : kColumnTile;
    float* y = args.y + row_begin * args.ldy + column;
    if (!last || (args.bias == nullptr && columns == kColumnTile)) {
      T::template Store<r, c>(y, args.ldy);
      return;
    }
    SumRow sums[kMatrixRows];
    T::template Store<r, c>(sums[0], kColumnTile);
    FinishMatrixRows<View>(args, row_begin, rows, tile, sums);
  }
};

}  // namespace
}  // namespace lamella::kernels
