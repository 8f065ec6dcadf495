// Paged attention on AVX2+FMA. A block of transposed keys is a packed 16-column tile of depth
// head_dim, and values are tiles of depth "positions": both products run on the register kernel,
// with the query heads of one group as its rows.
//
// Per query head: scores of all positions into scratch, their maximum, exp and sum (16 lanes by
// absolute position, one tree), then the weighted values in ascending position order. Only the
// masking of a lane may depend on where the row's positions begin and end; no arithmetic sees a
// slot outside them.
#include <type_traits>

#include "server/kernels/avx2_kernels.h"
#include "server/kernels/avx2_math.h"
#include "server/kernels/avx2_tile.h"
#include "server/kernels/int8_kv.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels::avx2 {
namespace {

// Within a block the 16 positions of a dimension of K, and each full 16 dimensions of V, are stored
// in the order of packed tiles.
template <typename T>
LAMELLA_KERNEL_INLINE int32_t ValueSlot(int32_t d, int32_t head_dim) {
  const int32_t c = d % kColumnTile;
  return d - c + kColumnTile <= head_dim ? d - c + Slot(c, T{}) : d;
}

// One row and one KV head.
template <typename T>
struct Task {
  const float* q;  // the group's first query head
  float* out;      // the same in the output
  const T* k;      // the KV head's part of block 0
  const T* v;      // the same
  const int32_t* table;
  int64_t block_stride;  // elements from one block to the next
  int32_t head_dim;
  int32_t begin;  // positions [begin, end)
  int32_t end;
  float scale;
  float* scores;  // float [heads][stride]; position p is at p - first_block * 16
  int64_t stride;

  int32_t first_block() const { return begin / kBlockTokens; }
  int32_t block_end() const { return (end + kBlockTokens - 1) / kBlockTokens; }
};

template <int H, int C>
LAMELLA_KERNEL_INLINE void StoreScores(const Tile<H, C>& acc, int c, Vec16 scale, int64_t stride,
                                       float* out) {
  LAMELLA_UNROLL
  for (int h = 0; h < H; ++h) {
    View16::Store(out + h * stride,
                  {_mm256_mul_ps(acc.lo[h][c], scale.lo), _mm256_mul_ps(acc.hi[h][c], scale.hi)});
  }
}

template <typename T, int H, int C>
LAMELLA_KERNEL_INLINE void ScoreBlocks(const Task<T>& task, int32_t block) {
  const T* k[C];
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) k[c] = task.k + task.table[block + c] * task.block_stride;
  Tile<H, C> acc;
  Clear(acc);
  Accumulate<T, H, C>({task.q, task.head_dim, 1}, k, kBlockTokens, task.head_dim, acc);
  float* out = task.scores + (block - task.first_block()) * static_cast<int64_t>(kBlockTokens);
  const Vec16 scale = View16::Broadcast(task.scale);
  LAMELLA_UNROLL
  for (int c = 0; c < C; ++c) StoreScores(acc, c, scale, task.stride, out + c * kBlockTokens);
}

LAMELLA_KERNEL_INLINE Vec16 LoadScales(const int8_t* head, int32_t head_dim, int32_t group) {
  return Load16(reinterpret_cast<const float*>(KvScales(head, head_dim, group)));
}

// Integer keys: the groups of dimensions follow each other in the scores.
template <int H>
LAMELLA_KERNEL_INLINE void ScoreGroups(const Task<int8_t>& task, int32_t block) {
  const int8_t* const k = task.k + task.table[block] * task.block_stride;
  float* out = task.scores + (block - task.first_block()) * static_cast<int64_t>(kBlockTokens);
  for (int32_t group = 0; group < KvGroups(task.head_dim); ++group) {
    const int32_t begin = group * kKvGroup;
    const int32_t count = task.head_dim - begin < kKvGroup ? task.head_dim - begin : kKvGroup;
    const int8_t* const first[1] = {k + static_cast<int64_t>(begin) * kBlockTokens};
    Tile<H, 1> acc;
    Clear(acc);
    Accumulate<int8_t, H, 1>({task.q + begin, task.head_dim, 1}, first, kBlockTokens, count, acc);
    const Vec16 own = LoadScales(k, task.head_dim, group);
    const __m256 scale = _mm256_set1_ps(task.scale);
    const Vec16 both = {_mm256_mul_ps(own.lo, scale), _mm256_mul_ps(own.hi, scale)};
    if (group == 0) {
      StoreScores(acc, 0, both, task.stride, out);
      continue;
    }
    LAMELLA_UNROLL
    for (int h = 0; h < H; ++h) {
      float* at = out + h * task.stride;
      View16::Store(at, View16::Fma({acc.lo[h][0], acc.hi[h][0]}, both, Load16(at)));
    }
  }
}

template <typename T, int H, int C>
LAMELLA_KERNEL_INLINE void Score(const Task<T>& task) {
  int32_t block = task.first_block();
  for (; block + C <= task.block_end(); block += C) ScoreBlocks<T, H, C>(task, block);
  for (; C > 1 && block < task.block_end(); ++block) ScoreBlocks<T, H, 1>(task, block);
}
template <typename T, int H, int C>
requires std::is_same_v<T, int8_t> LAMELLA_KERNEL_INLINE void Score(const Task<T>& task) {
  for (int32_t b = task.first_block(); b < task.block_end(); ++b) ScoreGroups<H>(task, b);
}

// Makes exp() of positions outside [begin, end) zero and keeps them from the maximum.
template <typename T>
void MaskEdges(const Task<T>& task, float* scores) {
  const int32_t offset = task.first_block() * kBlockTokens;
  for (int32_t p = offset; p < task.begin; ++p) scores[p - offset] = -__builtin_inff();
  for (int32_t p = task.end; p < task.block_end() * kBlockTokens; ++p) {
    scores[p - offset] = -__builtin_inff();
  }
}

// Turns scores into exp(score - max); returns their sum.
float Softmax(float* scores, int64_t count) {
  __m256 max = _mm256_set1_ps(-__builtin_inff());
  for (int64_t i = 0; i < count; i += 8) max = _mm256_max_ps(_mm256_loadu_ps(scores + i), max);
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, max);
  float highest = lanes[0];
  for (int i = 1; i < 8; ++i) highest = lanes[i] > highest ? lanes[i] : highest;
  const __m256 shift = _mm256_set1_ps(highest);
  __m256 lo = _mm256_setzero_ps();
  __m256 hi = _mm256_setzero_ps();
  for (int64_t i = 0; i < count; i += kBlockTokens) {
    const __m256 a = Exp(_mm256_sub_ps(_mm256_loadu_ps(scores + i), shift));
    const __m256 b = Exp(_mm256_sub_ps(_mm256_loadu_ps(scores + i + 8), shift));
    _mm256_storeu_ps(scores + i, a);
    _mm256_storeu_ps(scores + i + 8, b);
    lo = _mm256_add_ps(lo, a);
    hi = _mm256_add_ps(hi, b);
  }
  return ReduceAdd(_mm256_add_ps(lo, hi));
}

// Dimensions [d, d + 16 C) of the output.
template <typename T, int H, int C>
LAMELLA_KERNEL_INLINE void WeighValues(const Task<T>& task, const float (&sums)[kMaxRows],
                                       int32_t d) {
  Tile<H, C> acc;
  Clear(acc);
  for (int32_t block = task.first_block(); block < task.block_end(); ++block) {
    const int32_t block_begin = block * kBlockTokens;
    const int32_t from = task.begin > block_begin ? task.begin - block_begin : 0;
    const int32_t to =
        task.end - block_begin < kBlockTokens ? task.end - block_begin : kBlockTokens;
    const T* v[C];
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      v[c] = task.v + task.table[block] * task.block_stride +
             static_cast<int64_t>(from) * task.head_dim + d + c * kColumnTile;
    }
    const float* p =
        task.scores + (block - task.first_block()) * static_cast<int64_t>(kBlockTokens) + from;
    Accumulate<T, H, C>({p, task.stride, 1}, v, task.head_dim, to - from, acc);
  }
  LAMELLA_UNROLL
  for (int h = 0; h < H; ++h) {
    const __m256 sum = _mm256_set1_ps(sums[h]);
    LAMELLA_UNROLL
    for (int c = 0; c < C; ++c) {
      float* at = task.out + static_cast<int64_t>(h) * task.head_dim + d + c * kColumnTile;
      _mm256_storeu_ps(at, _mm256_div_ps(acc.lo[h][c], sum));
      _mm256_storeu_ps(at + 8, _mm256_div_ps(acc.hi[h][c], sum));
    }
  }
}

// One dimension of one head, for what a head_dim leaves after its full 16s.
template <typename T>
void WeighOneDimension(const Task<T>& task, int32_t head, int32_t d, float sum_of_weights) {
  const float* p =
      task.scores + head * task.stride - task.first_block() * static_cast<int64_t>(kBlockTokens);
  float sum = 0;
  for (int32_t at = task.begin; at < task.end; ++at) {
    const T* v = task.v + task.table[at / kBlockTokens] * task.block_stride +
                 static_cast<int64_t>(at % kBlockTokens) * task.head_dim;
    sum = FusedMultiplyAdd(p[at], ToFloat(v[d]), sum);
  }
  task.out[static_cast<int64_t>(head) * task.head_dim + d] = sum / sum_of_weights;
}

// Dimensions [begin, end) of H query heads.
template <typename T, int H, int C>
LAMELLA_KERNEL_INLINE void WeighDimensions(const Task<T>& task, const float (&sums)[kMaxRows],
                                           int32_t begin, int32_t end) {
  int32_t d = begin;
  for (; d + C * kColumnTile <= end; d += C * kColumnTile) WeighValues<T, H, C>(task, sums, d);
  for (; C > 1 && d + kColumnTile <= end; d += kColumnTile) WeighValues<T, H, 1>(task, sums, d);
  for (; d < end; ++d) {
    for (int h = 0; h < H; ++h) WeighOneDimension(task, h, d, sums[h]);
  }
}

template <typename T, int H, int C>
LAMELLA_KERNEL_INLINE void Weigh(const Task<T>& task, const float (&sums)[kMaxRows]) {
  WeighDimensions<T, H, C>(task, sums, 0, task.head_dim);
}

// Integer values: of each group the weights take its scales first, in scratch behind the weights. Slots
// beyond the positions hold anything there.
template <typename T, int H, int C>
requires std::is_same_v<T, int8_t> LAMELLA_KERNEL_INLINE void Weigh(const Task<T>& task,
                                                                    const float (&sums)[kMaxRows]) {
  Task<T> scaled = task;
  scaled.scores = task.scores + H * task.stride;
  for (int32_t group = 0; group < KvGroups(task.head_dim); ++group) {
    for (int32_t block = task.first_block(); block < task.block_end(); ++block) {
      const Vec16 scale =
          LoadScales(task.v + task.table[block] * task.block_stride, task.head_dim, group);
      const int64_t at = (block - task.first_block()) * static_cast<int64_t>(kBlockTokens);
      for (int h = 0; h < H; ++h) {
        const Vec16 plain = Load16(task.scores + h * task.stride + at);
        View16::Store(scaled.scores + h * task.stride + at,
                      {_mm256_mul_ps(plain.lo, scale.lo), _mm256_mul_ps(plain.hi, scale.hi)});
      }
    }
    const int32_t begin = group * kKvGroup;
    const int32_t end = task.head_dim < begin + kKvGroup ? task.head_dim : begin + kKvGroup;
    WeighDimensions<T, H, C>(scaled, sums, begin, end);
  }
}

// H query heads of one group; C tiles at once keep at least 8 chains in flight.
template <typename T, int H, int C>
void AttendHeads(const Task<T>& task) {
  Score<T, H, C>(task);
  float sums[kMaxRows];
  const int64_t padded = static_cast<int64_t>(task.block_end() - task.first_block()) * kBlockTokens;
  for (int h = 0; h < H; ++h) {
    MaskEdges(task, task.scores + h * task.stride);
    sums[h] = Softmax(task.scores + h * task.stride, padded);
  }
  Weigh<T, H, C>(task, sums);
}

template <typename T>
void DispatchHeads(const Task<T>& task, int64_t heads) {
  switch (heads) {
    case 1:
      return AttendHeads<T, 1, 4>(task);
    case 2:
      return AttendHeads<T, 2, 2>(task);
    case 3:
      return AttendHeads<T, 3, 1>(task);
    case 4:
      return AttendHeads<T, 4, 1>(task);
    case 5:
      return AttendHeads<T, 5, 1>(task);
    default:
      return AttendHeads<T, 6, 1>(task);
  }
}

template <typename T>
Task<T> MakeTask(const AttentionArgs& args, int64_t row, int64_t kv_head, float* scratch) {
  Task<T> task;
  const int64_t group = args.q_heads / args.kv_heads;
  const int64_t head_elements = KvElements(args.head_dim, T());
  const int32_t position = args.positions[row];
  task.q = args.q + row * args.ldq + kv_head * group * args.head_dim;
  task.out = args.out + row * args.ldo + kv_head * group * args.head_dim;
  task.k = static_cast<const T*>(args.k_cache) + kv_head * head_elements;
  task.v = static_cast<const T*>(args.v_cache) + kv_head * head_elements;
  task.table = args.block_tables[row];
  task.block_stride = args.kv_heads * head_elements;
  task.head_dim = args.head_dim;
  task.begin = args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
  task.end = position + 1;
  task.scale = args.scale;
  task.scores = scratch;
  task.stride = static_cast<int64_t>(task.block_end() - task.first_block()) * kBlockTokens;
  return task;
}

// One token of one KV head, whose part of the block begins at `k` and `v`.
template <typename T>
void StoreToken(const float* k_in, const float* v_in, int32_t head_dim, int32_t token, T* k, T* v) {
  for (int32_t d = 0; d < head_dim; ++d) {
    Store(k_in[d], k + static_cast<int64_t>(d) * kBlockTokens + Slot(token, T{}));
    Store(v_in[d], v + static_cast<int64_t>(token) * head_dim + ValueSlot<T>(d, head_dim));
  }
}
void StoreToken(const float* k_in, const float* v_in, int32_t head_dim, int32_t token, int8_t* k,
                int8_t* v) {
  StoreQuantized(k_in, head_dim, token, kBlockTokens, k + token, k);
  StoreQuantized(v_in, head_dim, token, 1, v + static_cast<int64_t>(token) * head_dim, v);
}

}  // namespace

template <typename T>
void KvWrite(const KvWriteArgs& args, int64_t row_begin, int64_t row_end) {
  const int64_t head_elements = KvElements(args.head_dim, T());
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int32_t position = args.positions[row];
    const int64_t block = args.block_tables[row][position / kBlockTokens];
    const int32_t token = position % kBlockTokens;
    for (int64_t head = 0; head < args.kv_heads; ++head) {
      const int64_t base = (block * args.kv_heads + head) * head_elements;
      StoreToken(args.k + row * args.ldk + head * args.head_dim,
                 args.v + row * args.ldv + head * args.head_dim, args.head_dim, token,
                 static_cast<T*>(args.k_cache) + base, static_cast<T*>(args.v_cache) + base);
    }
  }
}

template <typename T>
size_t AttentionScratchFloats(int32_t q_heads, int32_t kv_heads, int32_t max_position) {
  const int32_t group = q_heads / kv_heads;
  const int64_t heads = group < kMaxRows ? group : kMaxRows;
  // A window may begin and end inside a block: one block more than the positions fill.
  const int64_t floats = heads * (CeilDiv(max_position + 1, kBlockTokens) + 1) * kBlockTokens;
  return static_cast<size_t>(std::is_same_v<T, int8_t> ? 2 * floats : floats);
}

template <typename T>
void Attention(const AttentionArgs& args, int64_t task_begin, int64_t task_end, float* scratch) {
  const int64_t group = args.q_heads / args.kv_heads;
  const int64_t parts = RowTileCount(group, kMaxRows);
  for (int64_t i = task_begin; i < task_end; ++i) {
    const Task<T> task = MakeTask<T>(args, i / args.kv_heads, i % args.kv_heads, scratch);
    for (int64_t part = 0; part < parts; ++part) {
      const RowTile heads = SplitRows(group, kMaxRows, part);
      Task<T> part_task = task;
      part_task.q += heads.begin * args.head_dim;
      part_task.out += heads.begin * args.head_dim;
      DispatchHeads(part_task, heads.count);
    }
  }
}

template size_t AttentionScratchFloats<float>(int32_t, int32_t, int32_t);
template size_t AttentionScratchFloats<int8_t>(int32_t, int32_t, int32_t);
template void KvWrite<float>(const KvWriteArgs&, int64_t, int64_t);
template void KvWrite<BF16>(const KvWriteArgs&, int64_t, int64_t);
template void KvWrite<int8_t>(const KvWriteArgs&, int64_t, int64_t);
template void Attention<float>(const AttentionArgs&, int64_t, int64_t, float*);
template void Attention<BF16>(const AttentionArgs&, int64_t, int64_t, float*);
template void Attention<int8_t>(const AttentionArgs&, int64_t, int64_t, float*);

}  // namespace lamella::kernels::avx2
