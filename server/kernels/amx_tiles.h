// What all kernels on AMX's tile registers share. Tiles 0 to 3 are sums, 0 and 1 of the first row
// tile; 4 and 5 hold x of the two row tiles, 6 and 7 W. Internal to the room; included by files that
// are compiled for AMX only.
#pragma once

#include <immintrin.h>

#include "server/kernels/avx512_view.h"
#include "server/kernels/matrix_linear.h"

namespace lamella::kernels::amx {
namespace {

constexpr int kTileRowBytes = 64;

// Bytes of its own tile that a pass over a few rows asks for ahead of itself.
constexpr int kFewAheadBytes = 2048;

// What ldtilecfg reads, as the processor's manual lays it out.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  LAMELLA_KERNEL_MEMBER void Set(int tile, int64_t count) {
    rows[tile] = static_cast<uint8_t>(count);
    row_bytes[tile] = count > 0 ? kTileRowBytes : 0;
  }
};

struct Tiles {
  using View = avx512::View;

  LAMELLA_KERNEL_INLINE void Configure(int64_t rows0, int64_t rows1) {
    TileConfig config;
    for (const int tile : {0, 1, 4}) config.Set(tile, rows0);
    for (const int tile : {2, 3, 5}) config.Set(tile, rows1);
    for (const int tile : {6, 7}) config.Set(tile, kMatrixRows);
    // The compiler's own intrinsic does not say that all of it is read.
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  LAMELLA_KERNEL_INLINE void Release() { _tile_release(); }
};

}  // namespace
}  // namespace lamella::kernels::amx
