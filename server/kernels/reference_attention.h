// Reference kernels of attention, row-wise and element-wise operations: plain C++, sums in double.
// Internal to the room.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "server/kernels/bf16.h"
#include "server/kernels/int8_kv.h"
#include "server/kernels/kernel_table.h"

namespace lamella::kernels::reference {

// Where position `position` of dimension d lies in the caches of one layer.
template <typename T>
struct CacheIndex {
  int32_t kv_heads;
  int32_t head_dim;

  int64_t Base(int32_t block, int32_t kv_head) const {
    return (static_cast<int64_t>(block) * kv_heads + kv_head) * KvElements(head_dim, T());
  }
  int64_t K(int32_t block, int32_t kv_head, int32_t slot, int32_t d) const {
    return Base(block, kv_head) + static_cast<int64_t>(d) * kBlockTokens + slot;
  }
  int64_t V(int32_t block, int32_t kv_head, int32_t slot, int32_t d) const {
    return Base(block, kv_head) + static_cast<int64_t>(slot) * head_dim + d;
  }
};

// One token of one KV head, whose part of the block begins at `k` and `v`.
template <typename T>
void StoreToken(const float* k_in, const float* v_in, int32_t head_dim, int32_t token, T* k, T* v) {
  for (int32_t d = 0; d < head_dim; ++d) {
    Store(k_in[d], k + static_cast<int64_t>(d) * kBlockTokens + token);
    Store(v_in[d], v + static_cast<int64_t>(token) * head_dim + d);
  }
}
inline void StoreToken(const float* k_in, const float* v_in, int32_t head_dim, int32_t token,
                       int8_t* k, int8_t* v) {
  StoreQuantized(k_in, head_dim, token, kBlockTokens, k + token, k);
  StoreQuantized(v_in, head_dim, token, 1, v + static_cast<int64_t>(token) * head_dim, v);
}

// What element d of a token in slot `slot` is multiplied with; the block's head begins at `head`.
template <typename T>
float ElementScale(const T* /*head*/, int32_t /*head_dim*/, int32_t /*slot*/, int32_t /*d*/) {
  return 1;
}
inline float ElementScale(const int8_t* head, int32_t head_dim, int32_t slot, int32_t d) {
  float scale;
  std::memcpy(&scale,
              KvScales(head, head_dim, d / kKvGroup) + slot * static_cast<int64_t>(sizeof(float)),
              sizeof(float));
  return scale;
}

template <typename T>
void KvWrite(const KvWriteArgs& args, int64_t row_begin, int64_t row_end) {
  const CacheIndex<T> index{args.kv_heads, args.head_dim};
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int32_t block = args.block_tables[row][args.positions[row] / kBlockTokens];
    const int32_t slot = args.positions[row] % kBlockTokens;
    for (int32_t head = 0; head < args.kv_heads; ++head) {
      const int64_t offset = static_cast<int64_t>(head) * args.head_dim;
      const int64_t base = index.Base(block, head);
      StoreToken(args.k + row * args.ldk + offset, args.v + row * args.ldv + offset, args.head_dim,
                 slot, static_cast<T*>(args.k_cache) + base, static_cast<T*>(args.v_cache) + base);
    }
  }
}

inline size_t AttentionScratchFloats(int32_t /*q_heads*/, int32_t /*kv_heads*/,
                                     int32_t max_position) {
  return static_cast<size_t>(max_position) + 1;
}

// The first position that a row sees.
LAMELLA_KERNEL_INLINE int32_t WindowBegin(int32_t position, int32_t window) {
  return window > 0 && position >= window ? position - window + 1 : 0;
}

template <typename T>
void AttendHead(const AttentionArgs& args, int64_t row, int32_t kv_head, int32_t q_head,
                float* scores) {
  const CacheIndex<T> index{args.kv_heads, args.head_dim};
  const T* k_cache = static_cast<const T*>(args.k_cache);
  const T* v_cache = static_cast<const T*>(args.v_cache);
  const int32_t* table = args.block_tables[row];
  const int32_t end = args.positions[row] + 1;
  const int32_t begin = WindowBegin(args.positions[row], args.window);
  const float* q = args.q + row * args.ldq + static_cast<int64_t>(q_head) * args.head_dim;
  float* out = args.out + row * args.ldo + static_cast<int64_t>(q_head) * args.head_dim;

  float max = -INFINITY;
  for (int32_t p = begin; p < end; ++p) {
    double sum = 0;
    for (int32_t d = 0; d < args.head_dim; ++d) {
      const int64_t at = index.K(table[p / kBlockTokens], kv_head, p % kBlockTokens, d);
      const T* head = k_cache + index.Base(table[p / kBlockTokens], kv_head);
      const double key = static_cast<double>(ToFloat(k_cache[at])) *
                         ElementScale(head, args.head_dim, p % kBlockTokens, d);
      sum += static_cast<double>(q[d]) * key;
    }
    scores[p] = static_cast<float>(sum * args.scale);
    max = std::max(max, scores[p]);
  }
  double total = 0;
  for (int32_t p = begin; p < end; ++p) {
    scores[p] = std::exp(scores[p] - max);
    total += scores[p];
  }
  for (int32_t d = 0; d < args.head_dim; ++d) {
    double sum = 0;
    for (int32_t p = begin; p < end; ++p) {
      const int64_t at = index.V(table[p / kBlockTokens], kv_head, p % kBlockTokens, d);
      const T* head = v_cache + index.Base(table[p / kBlockTokens], kv_head);
      const double value = static_cast<double>(ToFloat(v_cache[at])) *
                           ElementScale(head, args.head_dim, p % kBlockTokens, d);
      sum += static_cast<double>(scores[p]) * value;
    }
    out[d] = static_cast<float>(sum / total);
  }
}

template <typename T>
void Attention(const AttentionArgs& args, int64_t task_begin, int64_t task_end, float* scratch) {
  const int32_t group = args.q_heads / args.kv_heads;
  for (int64_t task = task_begin; task < task_end; ++task) {
    const auto kv_head = static_cast<int32_t>(task % args.kv_heads);
    for (int32_t i = 0; i < group; ++i) {
      AttendHead<T>(args, task / args.kv_heads, kv_head, kv_head * group + i, scratch);
    }
  }
}

inline void RmsNorm(const float* x, int64_t ldx, int64_t rows, int64_t dim, const float* weight,
                    float eps, float* y, int64_t ldy) {
  for (int64_t row = 0; row < rows; ++row) {
    const float* in = x + row * ldx;
    float* out = y + row * ldy;
    double sum = 0;
    for (int64_t i = 0; i < dim; ++i) sum += static_cast<double>(in[i]) * in[i];
    const double inverse = 1.0 / std::sqrt(sum / static_cast<double>(dim) + eps);
    for (int64_t i = 0; i < dim; ++i) out[i] = static_cast<float>(in[i] * inverse) * weight[i];
  }
}

inline void Rope(float* x, int64_t ldx, int64_t rows, int32_t heads, int32_t head_dim,
                 const float* cos, const float* sin) {
  const int32_t half = head_dim / 2;
  for (int64_t row = 0; row < rows; ++row) {
    for (int32_t head = 0; head < heads; ++head) {
      float* low = x + row * ldx + static_cast<int64_t>(head) * head_dim;
      float* high = low + half;
      for (int32_t i = 0; i < half; ++i) {
        const float c = cos[row * half + i];
        const float s = sin[row * half + i];
        const float a = low[i];
        const float b = high[i];
        low[i] = a * c - b * s;
        high[i] = b * c + a * s;
      }
    }
  }
}

inline void Add(float* x, const float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] += y[i];
}

inline void SiluMul(const float* gate, const float* up, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

// gelu_tanh(x) = x / 2 * (1 + tanh(u)) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
inline void GeluTanhMul(const float* gate, const float* up, float* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const double x = gate[i];
    const double u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    out[i] = static_cast<float>(x / (1.0 + std::exp(-2.0 * u))) * up[i];
  }
}

}  // namespace lamella::kernels::reference
