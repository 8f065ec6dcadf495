// Keys and values as 8-bit integers, with a scale for each group of 64 dimensions of each head of each
// token. Of a block and KV head the cache holds the integers in the serving dtype's layout and then
// float [groups][kBlockTokens] scales. Internal to the room.
#pragma once

#include "server/kernels/bf16.h"
#include "server/kernels/kernel_table.h"

namespace lamella::kernels {

inline constexpr int32_t kKvGroup = 64;

LAMELLA_KERNEL_INLINE int32_t KvGroups(int32_t head_dim) {
  return static_cast<int32_t>(CeilDiv(head_dim, kKvGroup));
}

// Elements of keys (or values) of one block and KV head, scales included.
template <typename T>
LAMELLA_KERNEL_INLINE int64_t KvElements(int32_t head_dim, T /*tag*/) {
  return static_cast<int64_t>(head_dim) * kBlockTokens;
}
LAMELLA_KERNEL_INLINE int64_t KvElements(int32_t head_dim, int8_t /*tag*/) {
  const auto scale_bytes = static_cast<int64_t>(sizeof(float)) * KvGroups(head_dim);
  return (head_dim + scale_bytes) * kBlockTokens;
}

// The scales of one group, float [kBlockTokens], in a block's part of a KV head.
LAMELLA_KERNEL_INLINE const int8_t* KvScales(const int8_t* head, int32_t head_dim, int32_t group) {
  return head + (head_dim + static_cast<int64_t>(sizeof(float)) * group) * kBlockTokens;
}

// x float [count] to out, `step` apart: rounded to nearest, 127 for the largest. Returns the scale; not
// finite, and so whatever it reaches, if a value is not.
LAMELLA_KERNEL_INLINE float QuantizeVector(const float* x, int32_t count, int64_t step,
                                           int8_t* out) {
  constexpr float kMost = 127;
  float largest = 0;
  for (int32_t i = 0; i < count; ++i) {
    const float size = __builtin_fabsf(x[i]);
    largest = size <= largest ? largest : size;  // NaN stays
  }
  const float factor = largest > 0 ? kMost / largest : 0;  // 0 for NaN, too
  const bool usable = factor > 0 && factor < __builtin_inff();
  for (int32_t i = 0; i < count; ++i) {
    const float steps = usable ? x[i] * factor : 0;
    out[i * step] = static_cast<int8_t>(__builtin_nearbyintf(steps));
  }
  return largest / kMost;
}

// One token's vector, float [head_dim], to a block's part of its KV head: element d at d * step of
// `out`, which lies inside `head`.
LAMELLA_KERNEL_INLINE void StoreQuantized(const float* x, int32_t head_dim, int32_t token,
                                          int64_t step, int8_t* out, int8_t* head) {
  for (int32_t group = 0; group < KvGroups(head_dim); ++group) {
    const int32_t begin = group * kKvGroup;
    const int32_t count = head_dim - begin < kKvGroup ? head_dim - begin : kKvGroup;
    const float scale = QuantizeVector(x + begin, count, step, out + begin * step);
    __builtin_memcpy(head + (KvScales(head, head_dim, group) - head) +
                         token * static_cast<int64_t>(sizeof(float)),
                     &scale, sizeof(float));
  }
}

}  // namespace lamella::kernels
