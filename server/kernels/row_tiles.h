// How rows are cut into register tiles: as evenly as possible, at most `most` in one. Activations
// of tile i are packed at offset begin * k, so no space is lost and a tile of one row is
// contiguous. Internal to the room.
#pragma once

#include "server/kernels/bf16.h"

namespace lamella::kernels {

struct RowTile {
  int64_t begin;
  int64_t count;
};

LAMELLA_KERNEL_INLINE int64_t RowTileCount(int64_t rows, int64_t most) {
  return CeilDiv(rows, most);
}

LAMELLA_KERNEL_INLINE RowTile SplitRows(int64_t rows, int64_t most, int64_t tile) {
  const int64_t tiles = RowTileCount(rows, most);
  const int64_t base = rows / tiles;
  const int64_t longer = rows % tiles;  // so many tiles, the first ones, have one row more
  return {tile * base + (tile < longer ? tile : longer), base + (tile < longer ? 1 : 0)};
}

}  // namespace lamella::kernels
