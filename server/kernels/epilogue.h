// What follows the sum over k in a linear layer: each row's low-rank terms, rank ascending in the
// row's own chain. Works on a small array of sums, 16 columns per row, between the registers and y.
// Internal to the room; included by files of one ISA, so all of it has internal linkage there.
//
// V is the ISA's view of 16 floats (see avx2_tile.h for one):
//   V::F           the value
//   V::kMaxRows    rows in one register tile at most
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

// The low-rank terms of a call, walked forward as row tiles ascend.
struct Terms {
  const LoraTerm* at;
  const LoraTerm* end;

  // Drops the terms that end before `row`. Rows must not descend.
  LAMELLA_KERNEL_MEMBER void SkipTo(int64_t row) {
    while (at < end && at->row_end <= row) ++at;
  }
};

LAMELLA_KERNEL_INLINE Terms AllTerms(const LinearArgs& args) {
  return {args.lora, args.lora + args.lora_count};
}

// One row of the register tile that shares its adapter with no neighbour.
template <typename T>
struct SingleRow {
  const T* b;
  const float* v;
  float* sums;
  int32_t rank;
};

// R neighbouring rows of one adapter share the loads of B.
template <typename V, typename T, int R>
void ExpandShared(const T* b, const LoraTerm& term, int64_t row, SumRow* sums) {
  typename V::F acc[R];
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) acc[r] = V::Load(sums[r]);
  const float* v = term.v + row * term.ldv;
  for (int32_t k = 0; k < term.rank; ++k) {
    const typename V::F w = V::Widen(b + static_cast<int64_t>(k) * kColumnTile);
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) acc[r] = V::Fma(V::Broadcast(v[r * term.ldv + k]), w, acc[r]);
  }
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) V::Store(sums[r], acc[r]);
}

// R rows of R adapters, interleaved so that their chains overlap: ranks [from, to) of each.
template <typename V, typename T, int R>
void ExpandSingles(const SingleRow<T>* rows, int32_t from, int32_t to) {
  typename V::F acc[R];
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) acc[r] = V::Load(rows[r].sums);
  for (int32_t k = from; k < to; ++k) {
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      const typename V::F w = V::Widen(rows[r].b + static_cast<int64_t>(k) * kColumnTile);
      acc[r] = V::Fma(V::Broadcast(rows[r].v[k]), w, acc[r]);
    }
  }
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) V::Store(rows[r].sums, acc[r]);
}

template <typename V, typename T, int R = V::kMaxRows>
void DispatchShared(int64_t count, const T* b, const LoraTerm& term, int64_t row, SumRow* sums) {
  if constexpr (R > 2) {
    if (count < R) return DispatchShared<V, T, R - 1>(count, b, term, row, sums);
  }
  ExpandShared<V, T, R>(b, term, row, sums);
}

template <typename V, typename T, int R = V::kMaxRows>
void DispatchSingles(int count, const SingleRow<T>* rows, int32_t from, int32_t to) {
  if constexpr (R > 1) {
    if (count < R) return DispatchSingles<V, T, R - 1>(count, rows, from, to);
  }
  ExpandSingles<V, T, R>(rows, from, to);
}

// Singles of unequal ranks: the longest come first, and each leaves at its true rank.
template <typename V, typename T>
void ExpandAllSingles(SingleRow<T>* rows, int count) {
  for (int i = 1; i < count; ++i) {
    const SingleRow<T> moving = rows[i];
    int at = i;
    for (; at > 0 && rows[at - 1].rank < moving.rank; --at) rows[at] = rows[at - 1];
    rows[at] = moving;
  }
  int32_t done = 0;
  for (int active = count; active > 0; --active) {
    const int32_t until = rows[active - 1].rank;
    if (until > done) DispatchSingles<V, T>(active, rows, done, until);
    done = until;
  }
}

// Adds the low-rank terms of rows [row_begin, row_begin + rows) to their sums for one column tile.
template <typename V, typename T>
void Expand(Terms terms, int64_t row_begin, int64_t rows, int64_t tile, SumRow* sums) {
  SingleRow<T> singles[V::kMaxRows];
  int count = 0;
  const int64_t row_end = row_begin + rows;
  for (; terms.at < terms.end && terms.at->row_begin < row_end; ++terms.at) {
    const LoraTerm& term = *terms.at;
    const int64_t first = term.row_begin > row_begin ? term.row_begin : row_begin;
    const int64_t last = term.row_end < row_end ? term.row_end : row_end;
    const T* b = static_cast<const T*>(term.b) + tile * term.rank * kColumnTile;
    if (last - first == 1) {
      singles[count++] = {b, term.v + first * term.ldv, sums[first - row_begin], term.rank};
    } else if (last > first) {
      DispatchShared<V, T>(last - first, b, term, first, sums + (first - row_begin));
    }
  }
  ExpandAllSingles<V, T>(singles, count);
}

// Asks for the parts of B that the row tile at `row_begin` will need for column tiles
// [tile, tile + tiles): far apart in memory, they are what no hardware prefetcher foresees.
template <typename T>
void PrefetchTerms(Terms terms, int64_t row_end, int64_t tile, int64_t tiles) {
  constexpr int64_t kLineBytes = 64;
  for (; terms.at < terms.end && terms.at->row_begin < row_end; ++terms.at) {
    const int64_t tile_elements = static_cast<int64_t>(terms.at->rank) * kColumnTile;
    const T* b = static_cast<const T*>(terms.at->b) + tile * tile_elements;
    const auto bytes = static_cast<int64_t>(sizeof(T)) * tiles * tile_elements;
    for (int64_t at = 0; at < bytes; at += kLineBytes) {
      __builtin_prefetch(reinterpret_cast<const char*>(b) + at, 0, 3);
    }
  }
}

}  // namespace
}  // namespace lamella::kernels
