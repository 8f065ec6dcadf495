// Conversions between fp32 and the two 16-bit float formats, bit-exact on every machine: plain
// integer code, no intrinsics, so any file may include it. Kernels have their own per ISA.
#pragma once

#include <bit>
#include <cstdint>

namespace lamella {

inline float Bf16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Round to nearest, ties to even. NaN stays NaN (quiet, sign kept); overflow becomes infinity.
inline uint16_t FloatToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<uint16_t>((bits >> 16) | 0x0040U);
  return static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

inline float HalfToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  // Without branches, so that loops over it are vectorized. The multiplication rebiases the
  // exponent and is exact, for subnormals too: 2^112 = 2^(127 - 15).
  const float magnitude =
      std::bit_cast<float>(static_cast<uint32_t>(bits & 0x7fffU) << 13) * 0x1p112F;
  // What was infinity or NaN is now at least 2^16: the exponent becomes all ones again.
  const uint32_t ones = magnitude >= 0x1p16F ? 0x7f800000U : 0U;
  return std::bit_cast<float>(sign | ones | std::bit_cast<uint32_t>(magnitude));
}

// Round to nearest, ties to even. NaN stays NaN; overflow becomes infinity.
inline uint16_t FloatToHalf(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<uint16_t>(sign | 0x7e00U);
  if (magnitude >= 0x477ff000U) return static_cast<uint16_t>(sign | 0x7c00U);  // >= 65520
  if (magnitude < 0x38800000U) {
    // Below 2^-14: adding 0.5 puts the half's last bit at the last bit of the fp32 mantissa, so the
    // hardware's own rounding does the work.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000U));
  }
  const uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U) - 0x38000000U;
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

}  // namespace lamella
