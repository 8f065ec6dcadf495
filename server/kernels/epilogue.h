// What follows the sum over k in a linear layer: each row's low-rank terms, rank ascending in the
// row's own chain. A block of column tiles gets its base product first, and then term after term: each
// reads its part of B front to back, as memory likes it, and its sums stay in registers while the ranks
// pass by. Internal to the room; included by files of one ISA, so all of it has internal linkage there.
//
// V is the ISA's view of 16 floats (see avx2_tile.h for one):
//   V::F           the value
//   V::kMostSums   how many of them stay in registers beside a product's factors
//   V::Load, V::Store, V::Broadcast, V::Fma(a, b, c) = a * b + c
//   V::Widen(const T*)  16 elements of a packed row of B, in column order
#pragma once

#include "server/kernels/bf16.h"
#include "server/kernels/kernel_table.h"

// g++ 12 keeps arrays of accumulators in memory unless the loops over them are unrolled early.
#if defined(__clang__)
#define LAMELLA_UNROLL _Pragma("unroll")
#else
#define LAMELLA_UNROLL _Pragma("GCC unroll 16")
#endif

namespace lamella::kernels {
namespace {

using SumRow = float[kColumnTile];

// B of column tiles [tile, ..) in a term, and how much of it one tile is.
struct TermPart {
  const char* at = nullptr;
  int64_t tile_bytes = 0;

  LAMELLA_KERNEL_MEMBER void Ask(int64_t tiles) {
    constexpr int64_t kLineBytes = 64;
    const int64_t bytes = tiles * tile_bytes;
    for (int64_t i = 0; i < bytes; i += kLineBytes) __builtin_prefetch(at + i, 0, 3);
    at += bytes;
  }
};

template <typename T>
LAMELLA_KERNEL_INLINE TermPart PartOf(const LoraTerm& term, int64_t tile) {
  const auto tile_bytes = static_cast<int64_t>(sizeof(T)) * term.rank * kColumnTile;
  return {static_cast<const char*>(term.b) + tile * tile_bytes, tile_bytes};
}

// y of R rows and C whole column tiles += v B.
template <typename V, typename T, int R, int C>
LAMELLA_KERNEL_INLINE void AddProduct(const T* b, int32_t rank, const float* v, int64_t ldv,
                                      float* y, int64_t ldy) {
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

// The same for the last column tile, which lacks columns.
template <typename V, typename T, int R>
void AddLastProduct(const T* b, int32_t rank, const float* v, int64_t ldv, int64_t columns,
                    float* y, int64_t ldy) {
  SumRow sums[R] = {};
  for (int r = 0; r < R; ++r) {
    for (int64_t i = 0; i < columns; ++i) sums[r][i] = y[r * ldy + i];
  }
  AddProduct<V, T, R, 1>(b, rank, v, ldv, sums[0], kColumnTile);
  for (int r = 0; r < R; ++r) {
    for (int64_t i = 0; i < columns; ++i) y[r * ldy + i] = sums[r][i];
  }
}

// R rows of a term and column tiles [tile, end); asks for the same tiles of `next`.
template <typename V, typename T, int R>
void AddRows(const LinearArgs& args, const LoraTerm& term, int64_t row, int64_t tile, int64_t end,
             TermPart next) {
  constexpr int kTiles = V::kMostSums / R;
  constexpr int C = kTiles > 8 ? 8 : kTiles;
  const float* const v = term.v + row * term.ldv;
  const int64_t tile_elements = int64_t{term.rank} * kColumnTile;
  const T* b = static_cast<const T*>(term.b) + tile * tile_elements;
  float* y = args.y + row * args.ldy + tile * kColumnTile;
  const int64_t whole = args.n / kColumnTile < end ? args.n / kColumnTile : end;
  for (; tile + C <= whole; tile += C, b += C * tile_elements, y += C * kColumnTile) {
    next.Ask(C);
    AddProduct<V, T, R, C>(b, term.rank, v, term.ldv, y, args.ldy);
  }
  for (; tile < whole; ++tile, b += tile_elements, y += kColumnTile) {
    next.Ask(1);
    AddProduct<V, T, R, 1>(b, term.rank, v, term.ldv, y, args.ldy);
  }
  if (tile == end) return;
  AddLastProduct<V, T, R>(b, term.rank, v, term.ldv, args.n - tile * kColumnTile, y, args.ldy);
}

// Rows of a term from `row` on, R at a time, then half as many.
template <typename V, typename T, int R = V::kMostSums>
void AddTerm(const LinearArgs& args, const LoraTerm& term, int64_t row, int64_t tile, int64_t end,
             TermPart next) {
  for (; row + R <= term.row_end; row += R) {
    AddRows<V, T, R>(args, term, row, tile, end, next);
    next.tile_bytes = 0;  // once is enough
  }
  if constexpr (R > 1) {
    if (row < term.row_end) AddTerm<V, T, R / 2>(args, term, row, tile, end, next);
  }
}

// Column tiles of a block: what the second-level cache holds of all terms, an even number of at most
// 16, of which an adapter of rank 16 has 8 KiB in bfloat16.
template <typename T>
int64_t TermTiles(const LinearArgs& args) {
  constexpr int64_t kBlockBytes = int64_t{128} << 10;
  constexpr int64_t kMostPairs = 8;
  int64_t pair_bytes = 0;
  for (int32_t i = 0; i < args.lora_count; ++i) {
    pair_bytes += 2 * PartOf<T>(args.lora[i], 0).tile_bytes;
  }
  const int64_t pairs = pair_bytes > 0 ? kBlockBytes / pair_bytes : kMostPairs;
  return 2 * (pairs < 1 ? 1 : pairs < kMostPairs ? pairs : kMostPairs);
}

// A linear layer of `products`, called as (args, tile_begin, tile_end): sums over k and bias to y.
template <typename V, typename T, typename Products>
void RunWithTerms(const LinearArgs& args, int64_t tile_begin, int64_t tile_end, Products products) {
  if (args.lora_count == 0) return products(args, tile_begin, tile_end);
  const int64_t most = TermTiles<T>(args);
  for (int64_t tile = tile_begin; tile < tile_end; tile += most) {
    const int64_t end = tile + most < tile_end ? tile + most : tile_end;
    products(args, tile, end);
    PartOf<T>(args.lora[0], tile).Ask(end - tile);
    for (int32_t i = 0; i < args.lora_count; ++i) {
      const bool last = i + 1 == args.lora_count;
      const TermPart next = last ? TermPart() : PartOf<T>(args.lora[i + 1], tile);
      AddTerm<V, T>(args, args.lora[i], args.lora[i].row_begin, tile, end, next);
    }
  }
}

}  // namespace
}  // namespace lamella::kernels
