// Weights of a quantized base: signed integers in groups along k, with one bfloat16 scale for each
// group of each output feature. All ISAs but AMX, which
// has its own for int8, share the layout, and all the functions that round: they multiply with the
// same weights. Activations are another matter (the reference keeps them, others
// round them), and low-rank terms are never quantized. Internal to the room.
//
//   [ceil(n / 16)][ceil(k / kGroup)] of
//     | scales: bfloat16 [16], in the order of ScaleSlot
//     | kInt8: int8 [kGroup / 2][16][2], features of a tile times a pair of k
//     | kInt4: uint8 [kGroup / 2][8][2]: low half features 0-7, high half 8-15, each plus 8
//
// n and k are padded with zeros.
#pragma once

#include <cstddef>

#include "server/kernels/bf16.h"
#include "server/kernels/kernel_table.h"

namespace lamella::kernels {

// -127 to 127.
struct Int8Groups {
  static constexpr Quantization kName = Quantization::kInt8;
  static constexpr int64_t kGroup = 64;
  static constexpr int64_t kPairBytes = 32;
};

// -8 to 7; the sign of a scale is such that the value farthest from zero is -8.
struct Int4Groups {
  static constexpr Quantization kName = Quantization::kInt4;
  static constexpr int64_t kGroup = 32;
  static constexpr int64_t kPairBytes = 16;
};

inline constexpr int64_t kScaleBytes = kColumnTile * static_cast<int64_t>(sizeof(BF16));

template <typename Q>
inline constexpr int64_t kGroupPairs = Q::kGroup / 2;
template <typename Q>
inline constexpr int64_t kGroupBytes = kScaleBytes + kGroupPairs<Q>* Q::kPairBytes;

template <typename Q>
LAMELLA_KERNEL_INLINE int64_t GroupsOf(int64_t k) {
  return CeilDiv(k, Q::kGroup);
}
template <typename Q>
LAMELLA_KERNEL_INLINE int64_t TileBytes(int64_t k) {
  return GroupsOf<Q>(k) * kGroupBytes<Q>;
}

// Place of a feature's scale among the 16: as in a packed tile row of bfloat16, one shift widens
// features 0-7 and one mask 8-15.
LAMELLA_KERNEL_INLINE int64_t ScaleSlot(int64_t feature) {
  return feature < 8 ? 2 * feature : 2 * feature - 15;
}

// The int8 values of one group of one feature, w float [count]; zeros beyond. Returns their scale: not
// finite if a weight is not, so that whatever it reaches shows it.
BF16 QuantizeInt8Group(const float* w, int64_t count, int8_t (&values)[Int8Groups::kGroup]);

// What KernelTable promises of packed_linear_bytes, pack_linear and unpack_row.
template <typename Q>
size_t QuantizedLinearBytes(int64_t n, int64_t k);
template <typename Q>
void PackQuantizedLinear(const float* w, int64_t row_begin, int64_t rows, int64_t n, int64_t k,
                         void* packed);
template <typename Q>
void UnpackQuantizedRow(const void* packed, int64_t n, int64_t k, int64_t row, float* out);

}  // namespace lamella::kernels
