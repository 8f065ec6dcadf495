#include "server/kernels/quantized.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace lamella::kernels {
namespace {

// The values of one group of one feature, `count` of them before the padding.
template <typename Q>
struct QuantizedGroup {
  BF16 scale;
  int8_t values[Q::kGroup];
};

float FarthestFromZero(const float* w, int64_t count) {
  float farthest = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(w[i])) return std::numeric_limits<float>::quiet_NaN();
    if (std::fabs(w[i]) > std::fabs(farthest)) farthest = w[i];
  }
  return farthest;
}

BF16 ScaleOf(Int8Groups /*tag*/, float farthest) { return RoundToBF16(std::fabs(farthest) / 127); }
BF16 ScaleOf(Int4Groups /*tag*/, float farthest) { return RoundToBF16(farthest / -8); }
float Lowest(Int8Groups /*tag*/) { return -127; }
float Lowest(Int4Groups /*tag*/) { return -8; }
float Highest(Int8Groups /*tag*/) { return 127; }
float Highest(Int4Groups /*tag*/) { return 7; }

// A group with a value that is not finite gets a scale that is not: whatever it reaches shows it.
template <typename Q>
QuantizedGroup<Q> QuantizeGroup(const float* w, int64_t count) {
  QuantizedGroup<Q> group = {};
  group.scale = ScaleOf(Q(), FarthestFromZero(w, count));
  const float step = ToFloat(group.scale);
  if (step == 0 || !std::isfinite(step)) return group;
  const float per_step = 1 / step;
  for (int64_t i = 0; i < count; ++i) {
    const float steps = std::clamp(w[i] * per_step, Lowest(Q()), Highest(Q()));
    group.values[i] = static_cast<int8_t>(steps + (steps < 0 ? -0.5F : 0.5F));
  }
  return group;
}

void StoreValue(Int8Groups /*tag*/, uint8_t* pairs, int64_t feature, int64_t i, int8_t value) {
  pairs[i / 2 * Int8Groups::kPairBytes + feature * 2 + i % 2] = static_cast<uint8_t>(value);
}
void StoreValue(Int4Groups /*tag*/, uint8_t* pairs, int64_t feature, int64_t i, int8_t value) {
  uint8_t& both = pairs[i / 2 * Int4Groups::kPairBytes + feature % 8 * 2 + i % 2];
  const auto half = static_cast<uint8_t>(value + 8);
  both = static_cast<uint8_t>(feature < 8 ? (both & 0xf0U) | half : (both & 0x0fU) | half << 4);
}

int32_t LoadValue(Int8Groups /*tag*/, const uint8_t* pairs, int64_t feature, int64_t i) {
  return static_cast<int8_t>(pairs[i / 2 * Int8Groups::kPairBytes + feature * 2 + i % 2]);
}
int32_t LoadValue(Int4Groups /*tag*/, const uint8_t* pairs, int64_t feature, int64_t i) {
  const int32_t both = pairs[i / 2 * Int4Groups::kPairBytes + feature % 8 * 2 + i % 2];
  return (feature < 8 ? both & 0xf : both >> 4) - 8;
}

// One feature of one group; beyond `count` values, and for no weights at all, zeros.
template <typename Q>
void StoreFeature(const float* w, int64_t count, int64_t feature, uint8_t* group) {
  const QuantizedGroup<Q> quantized = QuantizeGroup<Q>(w, count);
  const int64_t at = ScaleSlot(feature) * static_cast<int64_t>(sizeof(BF16));
  std::memcpy(group + at, &quantized.scale, sizeof(BF16));
  for (int64_t i = 0; i < Q::kGroup; ++i) {
    StoreValue(Q(), group + kScaleBytes, feature, i, quantized.values[i]);
  }
}

}  // namespace

BF16 QuantizeInt8Group(const float* w, int64_t count, int8_t (&values)[Int8Groups::kGroup]) {
  const QuantizedGroup<Int8Groups> group = QuantizeGroup<Int8Groups>(w, count);
  std::memcpy(values, group.values, sizeof(values));
  return group.scale;
}

template <typename Q>
size_t QuantizedLinearBytes(int64_t n, int64_t k) {
  return static_cast<size_t>(CeilDiv(n, kColumnTile) * TileBytes<Q>(k));
}

template <typename Q>
void PackQuantizedLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                         void* packed) {
  const int64_t row_end = row_begin + rows;
  const int64_t padded_end = row_end == n ? CeilDiv(n, kColumnTile) * kColumnTile : row_end;
  for (int64_t row = row_begin; row < padded_end; ++row) {
    uint8_t* tile = static_cast<uint8_t*>(packed) + row / kColumnTile * TileBytes<Q>(k);
    for (int64_t g = 0; g < GroupsOf<Q>(k); ++g) {
      const int64_t count = row < row_end ? std::min(Q::kGroup, k - g * Q::kGroup) : 0;
      const float* from = count > 0 ? w + (row - row_begin) * k + g * Q::kGroup : nullptr;
      StoreFeature<Q>(from, count, row % kColumnTile, tile + g * kGroupBytes<Q>);
    }
  }
}

template <typename Q>
void UnpackQuantizedRow(const void* packed, int64_t /*n*/, int64_t k, int64_t row, float* out) {
  const int64_t feature = row % kColumnTile;
  const auto* group = static_cast<const uint8_t*>(packed) + row / kColumnTile * TileBytes<Q>(k);
  for (int64_t begin = 0; begin < k; begin += Q::kGroup, group += kGroupBytes<Q>) {
    BF16 scale;
    std::memcpy(&scale, group + ScaleSlot(feature) * static_cast<int64_t>(sizeof(BF16)),
                sizeof(BF16));
    for (int64_t i = 0; i < std::min(Q::kGroup, k - begin); ++i) {
      const auto value = static_cast<float>(LoadValue(Q(), group + kScaleBytes, feature, i));
      out[begin + i] = value * ToFloat(scale);
    }
  }
}

template size_t QuantizedLinearBytes<Int8Groups>(int64_t, int64_t);
template size_t QuantizedLinearBytes<Int4Groups>(int64_t, int64_t);
template void PackQuantizedLinear<Int8Groups>(const float*, int64_t, int64_t, int64_t, int64_t,
                                              void*);
template void PackQuantizedLinear<Int4Groups>(const float*, int64_t, int64_t, int64_t, int64_t,
                                              void*);
template void UnpackQuantizedRow<Int8Groups>(const void*, int64_t, int64_t, int64_t, float*);
template void UnpackQuantizedRow<Int4Groups>(const void*, int64_t, int64_t, int64_t, float*);

}  // namespace lamella::kernels
