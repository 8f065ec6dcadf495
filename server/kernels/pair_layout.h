// Weights as pairs of bfloat16 that are neighbours in k, the layout that dot products and matrix
// tiles multiply with: [ceil(n / 16)][pairs of k][16][2], with n and k padded by zeros, k to a
// multiple of kDepth. Internal to the room.
#pragma once

#include <cstddef>

#include "server/kernels/bf16.h"
#include "server/kernels/kernel_table.h"

namespace lamella::kernels {
namespace {

template <int kDepth>
struct PairLayout {
  static constexpr int kPairs = 2;
  static constexpr int64_t kPairTile = kColumnTile * kPairs;  // bfloat16 elements per pair of k

  static int64_t PairsOf(int64_t k) { return CeilDiv(k, kDepth) * (kDepth / kPairs); }
  static int64_t TileElements(int64_t k) { return PairsOf(k) * kPairTile; }

  static size_t PackedLinearBytes(int64_t n, int64_t k) {
    return static_cast<size_t>(CeilDiv(n, kColumnTile) * TileElements(k)) * sizeof(BF16);
  }

  static void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t /*n*/, int64_t k,
                         void* packed) {
    for (int64_t row = 0; row < rows; row += kColumnTile) {
      BF16* out = static_cast<BF16*>(packed) + (row_begin + row) / kColumnTile * TileElements(k);
      for (int64_t i = 0; i < PairsOf(k) * kPairs; ++i) {
        for (int64_t c = 0; c < kColumnTile; ++c) {
          const bool inside = row + c < rows && i < k;
          out[i / kPairs * kPairTile + c * kPairs + i % kPairs] =
              RoundToBF16(inside ? w[(row + c) * k + i] : 0.0f);
        }
      }
    }
  }

  static void UnpackRow(const void* packed, int64_t /*n*/, int64_t k, int64_t row, float* out) {
    const BF16* tile = static_cast<const BF16*>(packed) + row / kColumnTile * TileElements(k);
    for (int64_t i = 0; i < k; ++i) {
      out[i] = ToFloat(tile[i / kPairs * kPairTile + row % kColumnTile * kPairs + i % kPairs]);
    }
  }

  // B keeps the order of columns: it is widened, not dotted (its rank may be odd, and v stays
  // float).
  static void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed) {
    BF16* out = static_cast<BF16*>(packed);
    for (int64_t row = 0; row < CeilDiv(n, kColumnTile) * kColumnTile; ++row) {
      for (int64_t r = 0; r < rank; ++r) {
        out[(row / kColumnTile * rank + r) * kColumnTile + row % kColumnTile] =
            RoundToBF16(row < n ? b[row * rank + r] * scale : 0.0f);
      }
    }
  }
};

}  // namespace
}  // namespace lamella::kernels
