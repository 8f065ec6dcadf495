// bfloat16 as a storage type of the kernels: conversions only, no arithmetic. Internal to the room.
// Everything here has internal linkage and is always inlined: files compiled for one ISA include
// it, and the linker must never keep their copy for everyone.
#pragma once

#include <cstdint>

#define LAMELLA_KERNEL_INLINE static inline __attribute__((always_inline))
#define LAMELLA_KERNEL_MEMBER inline __attribute__((always_inline))

namespace lamella::kernels {

struct BF16 {
  uint16_t bits;
};

LAMELLA_KERNEL_INLINE float ToFloat(BF16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}

LAMELLA_KERNEL_INLINE float ToFloat(float value) { return value; }
LAMELLA_KERNEL_INLINE float ToFloat(int8_t value) { return static_cast<float>(value); }

// Round to nearest even; NaN stays a (quiet) NaN.
LAMELLA_KERNEL_INLINE BF16 RoundToBF16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet_nan = (bits >> 16) | 0x40u;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return BF16{static_cast<uint16_t>(is_nan ? quiet_nan : rounded)};
}

LAMELLA_KERNEL_INLINE void Store(float value, float* out) { *out = value; }
LAMELLA_KERNEL_INLINE void Store(float value, BF16* out) { *out = RoundToBF16(value); }

LAMELLA_KERNEL_INLINE int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace lamella::kernels
