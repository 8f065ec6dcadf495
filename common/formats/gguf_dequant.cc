#include "common/formats/gguf_dequant.h"

#include <cstring>

#include "common/formats/bf16.h"

namespace lamella {
namespace {

float Half(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return HalfToFloat(bits);
}

// Each decoder takes one block and writes its elements. Loops have constant bounds and no branches,
// so that the compiler vectorises them.

void Q4_0(const uint8_t* block, float* out) {
  const float d = Half(block);
  const uint8_t* q = block + 2;
  for (int i = 0; i < 16; ++i) out[i] = d * static_cast<float>((q[i] & 15) - 8);
  for (int i = 0; i < 16; ++i) out[16 + i] = d * static_cast<float>((q[i] >> 4) - 8);
}

void Q4_1(const uint8_t* block, float* out) {
  const float d = Half(block);
  const float m = Half(block + 2);
  const uint8_t* q = block + 4;
  for (int i = 0; i < 16; ++i) out[i] = d * static_cast<float>(q[i] & 15) + m;
  for (int i = 0; i < 16; ++i) out[16 + i] = d * static_cast<float>(q[i] >> 4) + m;
}

// The fifth bits of 32 quants, one bit each in `high`, joined with the four bits in `q`.
void FiveBits(const uint8_t* high, const uint8_t* q, int* out) {
  uint32_t bits;
  std::memcpy(&bits, high, sizeof(bits));
  for (int i = 0; i < 16; ++i) {
    out[i] = (q[i] & 15) | static_cast<int>(((bits >> i) & 1U) << 4);
    out[16 + i] = (q[i] >> 4) | static_cast<int>(((bits >> (16 + i)) & 1U) << 4);
  }
}

void Q5_0(const uint8_t* block, float* out) {
  const float d = Half(block);
  int q[32];
  FiveBits(block + 2, block + 6, q);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(q[i] - 16);
}

void Q5_1(const uint8_t* block, float* out) {
  const float d = Half(block);
  const float m = Half(block + 2);
  int q[32];
  FiveBits(block + 4, block + 8, q);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(q[i]) + m;
}

void Q8_0(const uint8_t* block, float* out) {
  const float d = Half(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
}

// Q4_K and Q5_K: eight sub-blocks of 32, each with a 6-bit scale and minimum packed into 12 bytes.
// Scales 0..3 are the low six bits of bytes 0..3, minima those of bytes 4..7; the low nibbles of
// bytes 8..11 are the low bits of scales 4..7, the high ones of the minima, and the two spare bits
// of bytes 0..7 are their high bits.
struct SubScale {
  float scale;
  float minimum;
};

SubScale SubScaleOf(const uint8_t* packed, int j, float d, float dmin) {
  int scale;
  int minimum;
  if (j < 4) {
    scale = packed[j] & 63;
    minimum = packed[j + 4] & 63;
  } else {
    scale = (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4);
    minimum = (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4);
  }
  return {d * static_cast<float>(scale), dmin * static_cast<float>(minimum)};
}

// Sub-blocks 2k and 2k + 1 are the low and the high nibbles of the same 32 bytes.
void Q4_K(const uint8_t* block, float* out) {
  const float d = Half(block);
  const float dmin = Half(block + 2);
  for (int j = 0; j < 8; ++j) {
    const SubScale s = SubScaleOf(block + 4, j, d, dmin);
    const uint8_t* q = block + 16 + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      out[j * 32 + i] = s.scale * static_cast<float>((q[i] >> shift) & 15) - s.minimum;
    }
  }
}

// As Q4_K; bit j of high[i] is the fifth bit of element i of sub-block j.
void Q5_K(const uint8_t* block, float* out) {
  const float d = Half(block);
  const float dmin = Half(block + 2);
  const uint8_t* high = block + 16;
  for (int j = 0; j < 8; ++j) {
    const SubScale s = SubScaleOf(block + 4, j, d, dmin);
    const uint8_t* q = block + 48 + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int bits = ((q[i] >> shift) & 15) | (((high[i] >> j) & 1) << 4);
      out[j * 32 + i] = s.scale * static_cast<float>(bits) - s.minimum;
    }
  }
}

// Two halves of 128: four groups of 32 share 64 bytes of low nibbles and 32 bytes of high pairs of
// bits; every 16 elements have a signed 8-bit scale.
void Q6_K(const uint8_t* block, float* out) {
  const float d = Half(block + 208);
  for (int group = 0; group < 8; ++group) {
    const int half = group / 4;
    const int part = group % 4;
    const uint8_t* low = block + half * 64 + part % 2 * 32;
    const uint8_t* high = block + 128 + half * 32;
    const int low_shift = part / 2 * 4;
    const int high_shift = part * 2;
    for (int sub = 0; sub < 2; ++sub) {
      const float scale = d * static_cast<float>(static_cast<int8_t>(block[192 + group * 2 + sub]));
      for (int i = sub * 16; i < sub * 16 + 16; ++i) {
        const int bits = ((low[i] >> low_shift) & 15) | (((high[i] >> high_shift) & 3) << 4);
        out[group * 32 + i] = scale * static_cast<float>(bits - 32);
      }
    }
  }
}

void F32(const uint8_t* value, float* out) { std::memcpy(out, value, sizeof(float)); }

void F16(const uint8_t* value, float* out) { *out = Half(value); }

void BF16(const uint8_t* value, float* out) {
  uint16_t bits;
  std::memcpy(&bits, value, sizeof(bits));
  *out = Bf16ToFloat(bits);
}

template <void (*kDecode)(const uint8_t*, float*), int64_t kElements, int64_t kBytes>
void Each(const uint8_t* blocks, int64_t elements, float* out) {
  for (int64_t i = 0; i < elements / kElements; ++i) {
    kDecode(blocks + i * kBytes, out + i * kElements);
  }
}

}  // namespace

void DequantizeBlocks(GgmlType type, std::span<const uint8_t> blocks, int64_t elements,
                      float* out) {
  const uint8_t* in = blocks.data();
  switch (type) {
    case GgmlType::kF32:
      return Each<F32, 1, 4>(in, elements, out);
    case GgmlType::kF16:
      return Each<F16, 1, 2>(in, elements, out);
    case GgmlType::kBF16:
      return Each<BF16, 1, 2>(in, elements, out);
    case GgmlType::kQ4_0:
      return Each<Q4_0, 32, 18>(in, elements, out);
    case GgmlType::kQ4_1:
      return Each<Q4_1, 32, 20>(in, elements, out);
    case GgmlType::kQ5_0:
      return Each<Q5_0, 32, 22>(in, elements, out);
    case GgmlType::kQ5_1:
      return Each<Q5_1, 32, 24>(in, elements, out);
    case GgmlType::kQ8_0:
      return Each<Q8_0, 32, 34>(in, elements, out);
    case GgmlType::kQ4_K:
      return Each<Q4_K, 256, 144>(in, elements, out);
    case GgmlType::kQ5_K:
      return Each<Q5_K, 256, 176>(in, elements, out);
    case GgmlType::kQ6_K:
      return Each<Q6_K, 256, 210>(in, elements, out);
  }
}

void DequantizeRows(const GgufTensor& tensor, int64_t row_begin, int64_t row_end, float* out) {
  const auto row_bytes = static_cast<size_t>(tensor.row_bytes());
  const auto rows = static_cast<size_t>(row_end - row_begin);
  DequantizeBlocks(
      tensor.type,
      tensor.data.subspan(static_cast<size_t>(row_begin) * row_bytes, rows * row_bytes),
      (row_end - row_begin) * tensor.columns(), out);
}

}  // namespace lamella
