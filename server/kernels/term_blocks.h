// Low-rank terms after the sum over k, adapter by adapter: the base's product of a block of columns is
// in y, and then each adapter's B is read front to back for that block. Where memory is what a step
// waits for, that is faster than a few lines of every adapter for each column tile (epilogue.h), which
// suits layers that are bound by arithmetic; the sums have the same order and the same bits.
// Internal to the room; included by files of one ISA.
#pragma once

#include "server/kernels/epilogue.h"

namespace lamella::kernels {
namespace {

// Column tiles whose parts of B are read at once: 8 KiB of an adapter of rank 16 in bfloat16.
constexpr int64_t kTermTiles = 16;

// What is asked for while an adapter is multiplied: the part of the next one, a slice for each tile.
struct NextTerm {
  const char* at = nullptr;
  int64_t tile_bytes = 0;

  LAMELLA_KERNEL_MEMBER void Ask(int64_t tiles) {
    constexpr int64_t kLineBytes = 64;
    for (int64_t i = 0; i < tiles * tile_bytes; i += kLineBytes) __builtin_prefetch(at + i, 0, 3);
    at += tiles * tile_bytes;
  }
};

template <typename Lora>
NextTerm PartOf(const LoraTerm& term, int64_t tile) {
  const auto tile_bytes = static_cast<int64_t>(sizeof(Lora)) * term.rank * kColumnTile;
  return {static_cast<const char*>(term.b) + tile * tile_bytes, tile_bytes};
}

// y of R rows and C whole column tiles += v B.
template <typename V, typename Lora, int R, int C>
void AddProduct(const Lora* b, int32_t rank, const float* v, int64_t ldv, float* y, int64_t ldy) {
  typename V::F acc[C][R];
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) {
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) acc[c][r] = V::Load(y + r * ldy + c * kColumnTile);
  }
  for (int32_t k = 0; k < rank; ++k) {
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      const typename V::F w = V::Widen(b + (static_cast<int64_t>(c) * rank + k) * kColumnTile);
      LAMELLA_UNROLL
      for (int r = 0; r < R; ++r) acc[c][r] = V::Fma(V::Broadcast(v[r * ldv + k]), w, acc[c][r]);
    }
  }
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) {
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) V::Store(y + r * ldy + c * kColumnTile, acc[c][r]);
  }
}

// The same for R rows of column tiles [tile, end), the last of which may lack columns.
template <typename V, typename Lora, int R>
void AddRows(const LinearArgs& args, const LoraTerm& term, int64_t row, int64_t tile, int64_t end,
             NextTerm* next) {
  constexpr int C = R == 1 ? 8 : 16 / R;  // chains that hide the latency of a sum
  const Lora* const b = static_cast<const Lora*>(term.b);
  const float* const v = term.v + row * term.ldv;
  float* const y = args.y + row * args.ldy;
  const int64_t tile_elements = int64_t{term.rank} * kColumnTile;
  const int64_t whole = args.n / kColumnTile < end ? args.n / kColumnTile : end;
  for (; tile + C <= whole; tile += C) {
    next->Ask(C);
    AddProduct<V, Lora, R, C>(b + tile * tile_elements, term.rank, v, term.ldv,
                              y + tile * kColumnTile, args.ldy);
  }
  for (; tile < whole; ++tile) {
    next->Ask(1);
    AddProduct<V, Lora, R, 1>(b + tile * tile_elements, term.rank, v, term.ldv,
                              y + tile * kColumnTile, args.ldy);
  }
  if (tile == end) return;
  const int64_t columns = args.n - tile * kColumnTile;
  SumRow sums[R] = {};
  for (int r = 0; r < R; ++r) {
    for (int64_t i = 0; i < columns; ++i) sums[r][i] = y[r * args.ldy + tile * kColumnTile + i];
  }
  AddProduct<V, Lora, R, 1>(b + tile * tile_elements, term.rank, v, term.ldv, sums[0], kColumnTile);
  for (int r = 0; r < R; ++r) {
    for (int64_t i = 0; i < columns; ++i) y[r * args.ldy + tile * kColumnTile + i] = sums[r][i];
  }
}

// All rows of one adapter, R at a time, then half as many.
template <typename V, typename Lora, int R = 16>
void AddTerm(const LinearArgs& args, const LoraTerm& term, int64_t row, int64_t tile, int64_t end,
             NextTerm next) {
  for (; row + R <= term.row_end; row += R) {
    AddRows<V, Lora, R>(args, term, row, tile, end, &next);
    next.tile_bytes = 0;  // once is enough
  }
  if constexpr (R > 1) {
    if (row < term.row_end) AddTerm<V, Lora, R / 2>(args, term, row, tile, end, next);
  }
}

// Kernels, whose Linear is called without terms, and the terms of B in elements of Lora.
template <typename Kernels, typename Lora>
struct WithTerms : Kernels {
  static void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
    if (args.lora_count == 0) return Kernels::Linear(args, tile_begin, tile_end);
    LinearArgs base = args;
    base.lora_count = 0;
    for (int64_t tile = tile_begin; tile < tile_end; tile += kTermTiles) {
      const int64_t end = tile + kTermTiles < tile_end ? tile + kTermTiles : tile_end;
      Kernels::Linear(base, tile, end);
      PartOf<Lora>(args.lora[0], tile).Ask(end - tile);
      for (int32_t i = 0; i < args.lora_count; ++i) {
        const LoraTerm& term = args.lora[i];
        NextTerm next;
        if (i + 1 < args.lora_count) next = PartOf<Lora>(args.lora[i + 1], tile);
        AddTerm<typename Kernels::View, Lora>(args, term, term.row_begin, tile, end, next);
      }
    }
  }
};

}  // namespace
}  // namespace lamella::kernels
