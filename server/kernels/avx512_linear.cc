// Linear layers on AVX512's fused multiply-add: every output element is one chain over k ascending,
// the same one as on AVX2, to the bit. Weights: bfloat16 in pair_layout.h's layout, where a shift
// widens the first of a pair and a mask the second; float [ceil(n / 16)][k][16]. Activations: per row
// tile float [k][rows of the tile].
#include "server/kernels/avx512_driver.h"
#include "server/kernels/pair_layout.h"

namespace lamella::kernels::avx512 {
namespace {

LAMELLA_KERNEL_INLINE int64_t TileElements(int64_t k, float) { return k * kColumnTile; }
LAMELLA_KERNEL_INLINE int64_t TileElements(int64_t k, BF16) {
  return PairLayout<2>::TileElements(k);
}

template <int R, int C>
struct Tile {
  __m512 at[R][C];
};

template <int R, int C>
LAMELLA_KERNEL_INLINE void MultiplyAdd(const float* x, const __m512 (&w)[C], Tile<R, C>& acc) {
  LAMELLA_UNROLL
  for (int r = 0; r < R; ++r) {
    const __m512 value = _mm512_set1_ps(x[r]);
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) acc.at[r][c] = _mm512_fmadd_ps(value, w[c], acc.at[r][c]);
  }
}

// With kAlone a pass is the only one over its columns; else it asks for others' meanwhile.
template <int R, int C, bool kAlone>
LAMELLA_KERNEL_INLINE void Accumulate(const float* x, const float* w, int64_t k, Prefetch* prefetch,
                                      Tile<R, C>& acc) {
  for (int64_t i = 0; i < k; ++i) {
    if constexpr (!kAlone) prefetch->Ask<1>();
    __m512 columns[C];
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      const float* at = w + c * k * kColumnTile + i * kColumnTile;
      columns[c] = _mm512_loadu_ps(at);
      if constexpr (kAlone) {
        __builtin_prefetch(reinterpret_cast<const char*>(at) + kAheadBytes, 0, 3);
      }
    }
    MultiplyAdd<R, C>(x + i * R, columns, acc);
  }
}

template <int R, int C, bool kAlone>
LAMELLA_KERNEL_INLINE void Accumulate(const float* x, const BF16* w, int64_t k, Prefetch* prefetch,
                                      Tile<R, C>& acc) {
  const int64_t stride = TileElements(k, BF16());
  const __m512i mask = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
  int64_t i = 0;
  for (; i + 2 <= k; i += 2) {
    if constexpr (!kAlone) prefetch->Ask<1>();
    __m512i pairs[C];
    __m512 columns[C];
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      const BF16* at = w + c * stride + i * kColumnTile;
      pairs[c] = _mm512_loadu_si512(at);
      columns[c] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs[c], 16));
      if constexpr (kAlone) {
        __builtin_prefetch(reinterpret_cast<const char*>(at) + kAheadBytes, 0, 3);
      }
    }
    MultiplyAdd<R, C>(x + i * R, columns, acc);
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      columns[c] = _mm512_castsi512_ps(_mm512_and_si512(pairs[c], mask));
    }
    MultiplyAdd<R, C>(x + (i + 1) * R, columns, acc);
  }
  if (i == k) return;
  __m512 columns[C];
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) {
    const __m512i pairs = _mm512_loadu_si512(w + c * stride + i * kColumnTile);
    columns[c] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  }
  MultiplyAdd<R, C>(x + i * R, columns, acc);
}

template <typename T>
struct FloatWeights {
  using Lora = T;
  static constexpr int kMaxRows = kRowTile;

  LAMELLA_KERNEL_INLINE int64_t TileBytes(int64_t k) {
    return TileElements(k, T()) * static_cast<int64_t>(sizeof(T));
  }
  LAMELLA_KERNEL_INLINE int64_t RowBytes(int64_t k) {
    return k * static_cast<int64_t>(sizeof(float));
  }
  LAMELLA_KERNEL_INLINE int64_t Turns(int64_t k) { return CeilDiv(k, 2); }

  template <int R, int C, bool kAlone>
  LAMELLA_KERNEL_INLINE void Run(const LinearArgs& args, int64_t row_begin, int64_t tile,
                                 Prefetch* prefetch) {
    const T* w = static_cast<const T*>(args.packed_w) + tile * TileElements(args.k, T());
    const float* x = static_cast<const float*>(args.packed_x) + row_begin * args.k;
    Tile<R, C> acc;
    LAMELLA_UNROLL
    for (int r = 0; r < R; ++r) {
      LAMELLA_UNROLL
      for (int c = 0; c < C; ++c) acc.at[r][c] = _mm512_setzero_ps();
    }
    Accumulate<R, C, kAlone>(x, w, args.k, prefetch, acc);
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      __m512 rows[R];
      LAMELLA_UNROLL
      for (int r = 0; r < R; ++r) rows[r] = acc.at[r][c];
      FinishRows<R>(args, row_begin, tile + c, rows);
    }
  }
};

}  // namespace

size_t PackedRowsBytes(int64_t rows, int64_t k) {
  return static_cast<size_t>(rows * k) * sizeof(float);
}

void PackRows(const float* x, int64_t ldx, int64_t rows, int64_t k, int64_t tile_begin,
              int64_t tile_end, void* packed) {
  for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
    const RowTile part = SplitRows(rows, kRowTile, tile);
    float* out = static_cast<float*>(packed) + part.begin * k;
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t r = 0; r < part.count; ++r) *out++ = x[(part.begin + r) * ldx + i];
    }
  }
}

template <typename T>
void Linear(const LinearArgs& args, int64_t tile_begin, int64_t tile_end) {
  RunLinear<FloatWeights<T>>(args, tile_begin, tile_end);
}

template void Linear<float>(const LinearArgs&, int64_t, int64_t);
template void Linear<BF16>(const LinearArgs&, int64_t, int64_t);

using Pairs = PairLayout<2>;

size_t PackedLinearBytes(int64_t n, int64_t k) { return Pairs::PackedLinearBytes(n, k); }
void PackLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                void* packed) {
  Pairs::PackLinear(w, row_begin, rows, n, k, packed);
}
void UnpackRow(const void* packed, int64_t n, int64_t k, int64_t row, float* out) {
  Pairs::UnpackRow(packed, n, k, row, out);
}
void PackLoraB(const float* b, int64_t n, int64_t rank, float scale, void* packed) {
  Pairs::PackLoraB(b, n, rank, scale, packed);
}

}  // namespace lamella::kernels::avx512
