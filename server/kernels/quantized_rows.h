// Activations of 16 bits with a scale per row, as integer linear layers multiply with:
// float [rows] scales, then per row tile uint32 [pairs of k][rows of the tile], two 16-bit values each;
// k is padded with zeros to whole groups. Internal to the room.
#pragma once

#include "server/kernels/quantized.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels {
namespace {

// The largest value: a group of 64 products of 127 x 32767 stays far below 2^31.
constexpr float kMostActivation = 32767;

template <typename Q>
size_t QuantizedRowBytesOf(int64_t rows, int64_t k) {
  return static_cast<size_t>(rows * (1 + GroupsOf<Q>(k) * kGroupPairs<Q>)) * sizeof(uint32_t);
}

// pack_row(x, k, padded, step, out): float [k] to uint32 [padded / 2], `step` apart; returns the scale.
template <typename Q, typename PackRow>
void PackQuantizedTiles(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t most_rows,
                        int64_t tile_begin, int64_t tile_end, void* packed,
                        const PackRow& pack_row) {
  const int64_t pairs = GroupsOf<Q>(k) * kGroupPairs<Q>;
  for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
    const RowTile part = SplitRows(rows, most_rows, tile);
    uint32_t* out = static_cast<uint32_t*>(packed) + rows + part.begin * pairs;
    for (int64_t r = 0; r < part.count; ++r) {
      const int64_t row = part.begin + r;
      static_cast<float*>(packed)[row] =
          pack_row(x + row * ldx, k, GroupsOf<Q>(k) * Q::kGroup, part.count, out + r);
    }
  }
}

}  // namespace
}  // namespace lamella::kernels
