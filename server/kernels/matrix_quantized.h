// Linear layers on an int8 base on matrix tiles (AMX's integer products): the same bits as
// avx2_quantized.cc's. A template over the tile registers, as matrix_linear.h. Internal to the room.
//
// An activation of 16 bits is 256 * high + low, a signed and an unsigned byte; each part has a product
// of its own with a group's weights, both exact.
//
// T has, besides what matrix_linear.h asks for,
//   T::SumGroup<R>(x, counts, w, sums)  sums[r] = the products of row tile r of x with w, int8
//                                       [16][16][4]; x[r] is int8 [2][counts[r]][64]
//   T::AddGroup(rows, sums, scales, y)  y[i] += (256 * sums[0][i] + sums[1][i]) * scales in float
//   T::kFewRows, T::kFewColumns  as matrix_linear.h's
//   T::SumFew<R, C>(x, w, stride, groups, y)  y[c][r] = SumGroup and AddGroup of all groups of R rows
//                                       and C column tiles `stride` bytes apart, float [C][R][16]
//   T::PackRow(x, k, part, out)         one row as 16-bit values: of each group the 64 high bytes to
//                                       `out` and the low ones `part` bytes later, the next group 2 *
//                                       part later; zeros after k. Returns the row's scale: not
//                                       finite if a value is not
//
// Weights: per column tile int8 [groups of 64][16][16][4], four of k for each of 16 features, then
// bfloat16 scales [groups][16], padded to 64 bytes. Activations: per row tile
// [groups][high, low][rows of the tile][64]; after all tiles float [rows] scales.
#pragma once

#include <type_traits>

#include "server/kernels/matrix_linear.h"
#include "server/kernels/quantized.h"

namespace lamella::kernels {
namespace {

using GroupSums = int32_t[2][kMatrixRows][kColumnTile];  // of high and low parts

template <typename T, typename Lora>
struct MatrixQuantized {
  using View = typename T::View;
  static constexpr int64_t kGroup = Int8Groups::kGroup;
  static constexpr int64_t kDepth = 4;  // of k beside each other
  static constexpr int64_t kTileBytes = kGroup * kColumnTile;
  static constexpr int64_t kLineBytes = 64;

  static int64_t Groups(int64_t k) { return CeilDiv(k, kGroup); }
  static int64_t TileBytes(int64_t k) {
    return CeilDiv(Groups(k) * (kTileBytes + kScaleBytes), kLineBytes) * kLineBytes;
  }
  static size_t PackedLinearBytes(int64_t n, int64_t k) {
    return static_cast<size_t>(CeilDiv(n, kColumnTile) * TileBytes(k));
  }
  static size_t PackedRowsBytes(int64_t rows, int64_t k) {
    return static_cast<size_t>(rows) *
           (static_cast<size_t>(2 * Groups(k) * kGroup) + sizeof(float));
  }

  static void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t /*n*/, int64_t k,
                         void* packed) {
    for (int64_t row = 0; row < CeilDiv(rows, kColumnTile) * kColumnTile; ++row) {
      auto* tile = static_cast<char*>(packed) + (row_begin + row) / kColumnTile * TileBytes(k);
      const int64_t feature = (row_begin + row) % kColumnTile;
      for (int64_t g = 0; g < Groups(k); ++g) {
        const int64_t left = k - g * kGroup;
        const int64_t count = row >= rows ? 0 : left < kGroup ? left : kGroup;
        int8_t values[kGroup];
        const float* from = count > 0 ? w + row * k + g * kGroup : nullptr;
        ScalesOf(tile, k)[g * kColumnTile + feature] = QuantizeInt8Group(from, count, values);
        auto* out = reinterpret_cast<int8_t*>(tile) + g * kTileBytes;
        for (int64_t i = 0; i < kGroup; ++i) {
          out[i / kDepth * kDepth * kColumnTile + feature * kDepth + i % kDepth] = values[i];
        }
      }
    }
  }

  static void UnpackRow(const void* packed, int64_t /*n*/, int64_t k, int64_t row, float* out) {
    const auto* tile = static_cast<const char*>(packed) + row / kColumnTile * TileBytes(k);
    const int64_t feature = row % kColumnTile;
    for (int64_t i = 0; i < k; ++i) {
      const int64_t at = i / kDepth * kDepth * kColumnTile + feature * kDepth + i % kDepth;
      const BF16 scale = ScalesOf(tile, k)[i / kGroup * kColumnTile + feature];
      out[i] = static_cast<float>(reinterpret_cast<const int8_t*>(tile)[at]) * ToFloat(scale);
    }
  }

  static void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
                       int64_t tile_end, void* packed) {
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
      const RowTile part = SplitRows(rows, kMatrixRows, tile);
      int8_t* out = static_cast<int8_t*>(packed) + part.begin * 2 * Groups(k) * kGroup;
      for (int64_t r = 0; r < part.count; ++r) {
        const int64_t row = part.begin + r;
        RowScales(packed, rows, k)[row] =
            T::PackRow(x + row * ldx, k, part.count * kGroup, out + r * kGroup);
      }
    }
  }

  static void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
    RunWithTerms<View, Lora>(args, tile_begin, tile_end, Products);
  }

  static void Products(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
    if constexpr (T::kFewRows > 0) {
      if (args.rows <= T::kFewRows) {
        return RunFewRows<MatrixQuantized, T::kFewColumns, T::kFewRows>(args, tile_begin, tile_end);
      }
    }
    const int64_t row_tiles = RowTileCount(args.rows, kMatrixRows);
    RowPair shape;
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
      for (int64_t i = 0; i < row_tiles; i += 2) {
        const RowPair rows = PairRows(args.rows, kMatrixRows, i);
        if (!rows.SameShape(shape)) T::Configure(rows.first, rows.second);
        shape = rows;
        if (rows.second == 0) {
          Run<1>(args, rows, tile);
        } else {
          Run<2>(args, rows, tile);
        }
      }
    }
    if (shape.first > 0) T::Release();
  }

  // For RunFewRows.
  template <int R, int C>
  LAMELLA_KERNEL_INLINE void RunFewColumns(const LinearArgs& args, int64_t tile) {
    const auto* w = static_cast<const int8_t*>(args.packed_w) + tile * TileBytes(args.k);
    alignas(64) SumRow y[C][R];
    T::template SumFew<R, C>(static_cast<const int8_t*>(args.packed_x), w, TileBytes(args.k),
                             Groups(args.k), y[0]);
    for (int c = 0; c < C; ++c) FinishRows(args, {0, R}, tile + c, y[c]);
  }

 private:
  template <typename Byte>
  static auto* ScalesOf(Byte* tile, int64_t k) {
    using Scale = std::conditional_t<std::is_const_v<Byte>, const BF16, BF16>;
    return reinterpret_cast<Scale*>(tile + Groups(k) * kTileBytes);
  }
  static float* RowScales(void* packed, int64_t rows, int64_t k) {
    return reinterpret_cast<float*>(static_cast<char*>(packed) + rows * 2 * Groups(k) * kGroup);
  }

  LAMELLA_KERNEL_INLINE void FinishRows(const LinearArgs& args, RowTile rows, int64_t tile,
                                        SumRow* y) {
    const float* scales = RowScales(const_cast<void*>(args.packed_x), args.rows, args.k);
    for (int64_t i = 0; i < rows.count; ++i) {
      View::Store(y[i], View::Mul(View::Load(y[i]), View::Broadcast(scales[rows.begin + i])));
    }
    FinishMatrixRows<View>(args, rows.begin, rows.count, tile, y);
  }

  template <int R>
  static void Run(const LinearArgs& args, const RowPair& rows, int64_t tile) {
    const int64_t groups = Groups(args.k);
    const int64_t counts[2] = {rows.first, rows.second};
    const int64_t begins[2] = {rows.begin, rows.begin + rows.first};
    const auto* packed_w = static_cast<const char*>(args.packed_w) + tile * TileBytes(args.k);
    const auto* w = reinterpret_cast<const int8_t*>(packed_w);
    const BF16* scales = ScalesOf(packed_w, args.k);
    const int8_t* x[R];
    for (int r = 0; r < R; ++r) {
      x[r] = static_cast<const int8_t*>(args.packed_x) + begins[r] * 2 * groups * kGroup;
    }
    alignas(64) SumRow y[R][kMatrixRows] = {};
    // A group's sums leave the tile registers while the next one's are made.
    alignas(64) GroupSums sums[2][R];
    T::template SumGroup<R>(x, counts, w, sums[0]);
    for (int64_t g = 0; g < groups; ++g) {
      if (g + 1 < groups) {
        for (int r = 0; r < R; ++r) x[r] += counts[r] * 2 * kGroup;
        w += kTileBytes;
        if (rows.begin == 0) PrefetchStep(w);
        T::template SumGroup<R>(x, counts, w, sums[(g + 1) % 2]);
      }
      for (int r = 0; r < R; ++r) T::AddGroup(counts[r], sums[g % 2][r], scales, y[r]);
      scales += kColumnTile;
    }
    for (int r = 0; r < R; ++r) FinishRows(args, {begins[r], counts[r]}, tile, y[r]);
  }
};

}  // namespace
}  // namespace lamella::kernels
