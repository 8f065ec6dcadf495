// What follows the sum over k of one register tile: bias, then each row's low-rank terms, then the
// store. Internal to the room; included by AVX2 files only.
#pragma once

#include "server/kernels/avx2_tile.h"

namespace lamella::kernels::avx2 {

// The low-rank terms of a call, walked forward as row tiles ascend.
class Terms {
 public:
  explicit Terms(const LinearArgs& args) : begin_(args.lora), count_(args.lora_count) {}

  // Back to the first row, for the next column tile.
  void Restart() { at_ = 0; }

  // The first term that ends after `row`, or null. Rows must not descend between restarts.
  const LoraTerm* From(int64_t row) {
    while (at_ < count_ && begin_[at_].row_end <= row) ++at_;
    return at_ < count_ ? begin_ + at_ : nullptr;
  }
  const LoraTerm* end() const { return begin_ + count_; }

 private:
  const LoraTerm* begin_;
  int32_t count_;
  int32_t at_ = 0;
};

// One row of the register tile that shares its adapter with no neighbour.
template <typename T>
struct SingleRow {
  const T* b;
  const float* v;
  float* sums;
  int32_t rank;
};

template <int R>
LAMELLA_KERNEL_INLINE void LoadSums(float (&sums)[kMaxRows][kColumnTile], int64_t row,
                                    Tile<R, 1>& acc) {
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) {
    acc.lo[r][0] = _mm256_load_ps(sums[row + r]);
    acc.hi[r][0] = _mm256_load_ps(sums[row + r] + 8);
  }
}

template <int R, int C>
LAMELLA_KERNEL_INLINE void StoreSums(const Tile<R, C>& acc, int c, float (*sums)[kColumnTile]) {
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) {
    _mm256_store_ps(sums[r], acc.lo[r][c]);
    _mm256_store_ps(sums[r] + 8, acc.hi[r][c]);
  }
}

// R neighbouring rows of one adapter share the loads of B.
template <typename T, int R>
static void ExpandShared(const T* b, const XView& v, int32_t rank,
                         float (&sums)[kMaxRows][kColumnTile], int64_t row) {
  Tile<R, 1> acc;
  LoadSums(sums, row, acc);
  const T* w[1] = {b};
  Accumulate<T, R, 1>(v, w, kColumnTile, rank, acc);
  StoreSums(acc, 0, sums + row);
}

// R rows of R adapters, interleaved so that their chains overlap: ranks [from, to) of each.
template <typename T, int R>
static void ExpandSingles(const SingleRow<T>* rows, int32_t from, int32_t to) {
  __m256 lo[R];
  __m256 hi[R];
  LAMELLA_UNROLL
  for (int i = 0; i < R; ++i) {
    lo[i] = _mm256_load_ps(rows[i].sums);
    hi[i] = _mm256_load_ps(rows[i].sums + 8);
  }
  for (int32_t k = from; k < to; ++k) {
    LAMELLA_UNROLL
    for (int i = 0; i < R; ++i) {
      const Vec16 w = Load16(rows[i].b + static_cast<int64_t>(k) * kColumnTile);
      const __m256 value = _mm256_broadcast_ss(rows[i].v + k);
      lo[i] = _mm256_fmadd_ps(value, w.lo, lo[i]);
      hi[i] = _mm256_fmadd_ps(value, w.hi, hi[i]);
    }
  }
  LAMELLA_UNROLL
  for (int i = 0; i < R; ++i) {
    _mm256_store_ps(rows[i].sums, lo[i]);
    _mm256_store_ps(rows[i].sums + 8, hi[i]);
  }
}

template <typename T>
static void DispatchShared(int64_t count, const T* b, const XView& v, int32_t rank,
                           float (&sums)[kMaxRows][kColumnTile], int64_t row) {
  switch (count) {
    case 2:
      return ExpandShared<T, 2>(b, v, rank, sums, row);
    case 3:
      return ExpandShared<T, 3>(b, v, rank, sums, row);
    case 4:
      return ExpandShared<T, 4>(b, v, rank, sums, row);
    case 5:
      return ExpandShared<T, 5>(b, v, rank, sums, row);
    default:
      return ExpandShared<T, 6>(b, v, rank, sums, row);
  }
}

template <typename T>
static void DispatchSingles(int count, const SingleRow<T>* rows, int32_t from, int32_t to) {
  switch (count) {
    case 1:
      return ExpandSingles<T, 1>(rows, from, to);
    case 2:
      return ExpandSingles<T, 2>(rows, from, to);
    case 3:
      return ExpandSingles<T, 3>(rows, from, to);
    case 4:
      return ExpandSingles<T, 4>(rows, from, to);
    case 5:
      return ExpandSingles<T, 5>(rows, from, to);
    default:
      return ExpandSingles<T, 6>(rows, from, to);
  }
}

// Singles of unequal ranks: the longest come first, and each leaves at its true rank.
template <typename T>
static void ExpandAllSingles(SingleRow<T>* rows, int count) {
  for (int i = 1; i < count; ++i) {
    const SingleRow<T> moving = rows[i];
    int at = i;
    for (; at > 0 && rows[at - 1].rank < moving.rank; --at) rows[at] = rows[at - 1];
    rows[at] = moving;
  }
  int32_t done = 0;
  for (int active = count; active > 0; --active) {
    const int32_t until = rows[active - 1].rank;
    if (until > done) DispatchSingles(active, rows, done, until);
    done = until;
  }
}

// Adds the low-rank terms of rows [row_begin, row_begin + rows) to their sums for one column tile.
template <typename T>
static void Expand(Terms& terms, int64_t row_begin, int64_t rows, int64_t tile,
                   float (&sums)[kMaxRows][kColumnTile]) {
  SingleRow<T> singles[kMaxRows];
  int count = 0;
  const LoraTerm* term = terms.From(row_begin);
  for (; term != nullptr && term != terms.end() && term->row_begin < row_begin + rows; ++term) {
    const int64_t first = term->row_begin > row_begin ? term->row_begin : row_begin;
    const int64_t last = term->row_end < row_begin + rows ? term->row_end : row_begin + rows;
    const T* b = static_cast<const T*>(term->b) + tile * term->rank * kColumnTile;
    const float* v = term->v + first * term->ldv;
    if (last - first == 1) {
      singles[count++] = {b, v, sums[first - row_begin], term->rank};
    } else if (last > first) {
      DispatchShared<T>(last - first, b, {v, term->ldv, 1}, term->rank, sums, first - row_begin);
    }
  }
  ExpandAllSingles(singles, count);
}

// Finishes tile c of `acc`, which holds column tile `tile` of rows [row_begin, row_begin + R).
template <typename T, int R, int C>
LAMELLA_KERNEL_INLINE void Finish(const LinearArgs& args, int64_t row_begin, int64_t tile, int c,
                                  Tile<R, C>& acc, Terms& terms) {
  const int64_t column = tile * kColumnTile;
  const int64_t columns = args.n - column < kColumnTile ? args.n - column : kColumnTile;
  alignas(32) float sums[kMaxRows][kColumnTile];
  if (args.bias != nullptr) {
    alignas(32) float bias[kColumnTile] = {};
    for (int64_t i = 0; i < columns; ++i) bias[i] = args.bias[column + i];
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      acc.lo[r][c] = _mm256_add_ps(acc.lo[r][c], _mm256_load_ps(bias));
      acc.hi[r][c] = _mm256_add_ps(acc.hi[r][c], _mm256_load_ps(bias + 8));
    }
  }
  float* y = args.y + row_begin * args.ldy + column;
  if (args.lora_count == 0 && columns == kColumnTile) {
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      _mm256_storeu_ps(y + r * args.ldy, acc.lo[r][c]);
      _mm256_storeu_ps(y + r * args.ldy + 8, acc.hi[r][c]);
    }
    return;
  }
  StoreSums(acc, c, sums);
  if (args.lora_count > 0) Expand<T>(terms, row_begin, R, tile, sums);
  for (int r = 0; r < R; ++r) {
    for (int64_t i = 0; i < columns; ++i) y[r * args.ldy + i] = sums[r][i];
  }
}

}  // namespace lamella::kernels::avx2
