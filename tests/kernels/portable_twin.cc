#include "tests/kernels/portable_twin.h"

#include <cmath>
#include <cstring>

#include "server/kernels/avx512bf16_kernels.h"
#include "server/kernels/dot_linear.h"
#include "server/kernels/linear_functions.h"
#include "server/kernels/matrix_linear.h"
#include "server/kernels/matrix_quantized.h"

namespace lamella::kernels::testing {
namespace {

float FlushDenormal(float x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
}

// One link of vdpbf16ps: denormal inputs count as zero, the product is not rounded by itself, and a
// denormal result becomes zero.
float Link(uint32_t a_bits, uint32_t b_bits, float acc) {
  const float a = FlushDenormal(__builtin_bit_cast(float, a_bits));
  const float b = FlushDenormal(__builtin_bit_cast(float, b_bits));
  return FlushDenormal(std::fma(a, b, FlushDenormal(acc)));
}

struct Portable {
  struct F {
    float lane[kColumnTile];
  };
  struct I {
    uint32_t lane[kColumnTile];
  };
  static constexpr int kMaxRows = avx512bf16::kRowTile;
  static constexpr int kMostSums = 4;

  static F Zero() { return F{}; }
  static F Load(const float* p) {
    F value;
    std::memcpy(value.lane, p, sizeof(value.lane));
    return value;
  }
  static void Store(float* p, const F& value) { std::memcpy(p, value.lane, sizeof(value.lane)); }
  static void StoreFirst(float* p, const F& value, int64_t count) {
    std::memcpy(p, value.lane, static_cast<size_t>(count) * sizeof(float));
  }
  static F Broadcast(float value) {
    F result;
    for (float& lane : result.lane) lane = value;
    return result;
  }
  static F Add(F a, const F& b) {
    for (int i = 0; i < kColumnTile; ++i) a.lane[i] += b.lane[i];
    return a;
  }
  static F Mul(F a, const F& b) {
    for (int i = 0; i < kColumnTile; ++i) a.lane[i] *= b.lane[i];
    return a;
  }
  static F Fma(const F& a, const F& b, F c) {
    for (int i = 0; i < kColumnTile; ++i) c.lane[i] = std::fma(a.lane[i], b.lane[i], c.lane[i]);
    return c;
  }
  static F Widen(const BF16* p) {
    F value;
    for (int i = 0; i < kColumnTile; ++i) value.lane[i] = ToFloat(p[i]);
    return value;
  }
  static I LoadPairs(const void* p) {
    I value;
    std::memcpy(value.lane, p, sizeof(value.lane));
    return value;
  }
  static I BroadcastPair(const uint32_t* p) {
    I result;
    for (uint32_t& lane : result.lane) lane = *p;
    return result;
  }
  static F Dot(F acc, const I& a, const I& b) {
    for (int i = 0; i < kColumnTile; ++i) {
      const float high = Link(a.lane[i] & 0xffff0000u, b.lane[i] & 0xffff0000u, acc.lane[i]);
      acc.lane[i] = Link(a.lane[i] << 16, b.lane[i] << 16, high);
    }
    return acc;
  }
};

// Tiles 0 and 1 are of the first row tile, 2 and 3 of the second.
struct PortableTiles {
  using View = Portable;
  static constexpr int kFewRows = 0;

  static void Configure(int64_t rows0, int64_t rows1) {
    rows[0] = rows0;
    rows[1] = rows1;
    std::memset(sums, 0xff, sizeof(sums));  // NaN: whoever reads them must have set them
  }
  static void Release() { rows[0] = rows[1] = 0; }

  template <int R>
  static void Zero() {
    for (int r = 0; r < R; ++r) std::memset(sums[r], 0, sizeof(sums[r]));
  }

  template <int R, int C, int kParts>
  static void Step(const BF16* const (&x)[R], const int64_t* part, const BF16* const (&w)[C]) {
    for (int r = 0; r < R; ++r) {
      for (int c = 0; c < C; ++c) {
        for (int64_t row = 0; row < rows[r]; ++row) {
          for (int column = 0; column < kColumnTile; ++column) {
            float& sum = sums[r][c][row][column];
            for (int i = 0; i < kParts; ++i) {
              const BF16* at = x[r] + i * part[r] + row * kMatrixDepth;
              sum = FlushDenormal(sum + Multiply(at, w[c] + 2 * column));
            }
          }
        }
      }
    }
  }

  template <int r, int c>
  static void Load(const float* from, int64_t ld) {
    for (int64_t row = 0; row < rows[r]; ++row) {
      std::memcpy(sums[r][c][row], from + row * ld, sizeof(sums[r][c][row]));
    }
  }

  template <int r, int c>
  static void Store(float* out, int64_t ld) {
    for (int64_t row = 0; row < rows[r]; ++row) {
      std::memcpy(out + row * ld, sums[r][c][row], sizeof(sums[r][c][row]));
    }
  }

  template <int R>
  static void SumGroup(const int8_t* const (&x)[R], const int64_t* counts, const int8_t* w,
                       GroupSums* sums) {
    for (int r = 0; r < R; ++r) {
      for (int64_t i = 0; i < counts[r] * kColumnTile; ++i) {
        const int64_t row = i / kColumnTile;
        const int64_t column = i % kColumnTile;
        int32_t& high = sums[r][0][row][column] = 0;
        int32_t& low = sums[r][1][row][column] = 0;
        for (int64_t k = 0; k < Int8Groups::kGroup; ++k) {
          const int32_t weight = w[k / 4 * 4 * kColumnTile + column * 4 + k % 4];
          high += x[r][row * Int8Groups::kGroup + k] * weight;
          low += static_cast<uint8_t>(x[r][(counts[r] + row) * Int8Groups::kGroup + k]) * weight;
        }
      }
    }
  }

  static void AddGroup(int64_t count, const GroupSums& sums, const BF16* scales, SumRow* y) {
    for (int64_t i = 0; i < count * kColumnTile; ++i) {
      const int64_t row = i / kColumnTile;
      const int64_t column = i % kColumnTile;
      const auto sum = static_cast<float>(256 * sums[0][row][column] + sums[1][row][column]);
      y[row][column] = std::fma(sum, ToFloat(scales[column]), y[row][column]);
    }
  }

  static float PackRow(const float* x, int64_t k, int64_t part, int8_t* out) {
    constexpr float kMost = 32767;
    float largest = 0;
    for (int64_t i = 0; i < k; ++i) largest = std::fmax(largest, std::fabs(x[i]));
    for (int64_t i = 0; i < k; ++i) {
      if (std::isnan(x[i])) largest = x[i];
    }
    const float factor = largest == 0 ? 0 : kMost / largest;
    for (int64_t i = 0; i < CeilDiv(k, Int8Groups::kGroup) * Int8Groups::kGroup; ++i) {
      const float value = i < k ? x[i] * factor : 0;
      const int32_t whole = std::isfinite(value) ? static_cast<int32_t>(std::nearbyint(value)) : 0;
      int8_t* at = out + i / Int8Groups::kGroup * 2 * part + i % Int8Groups::kGroup;
      at[0] = static_cast<int8_t>(whole >> 8);
      at[part] = static_cast<int8_t>(whole);
    }
    return largest / kMost;
  }

  template <int kParts>
  static void Split(const float* x, int64_t count, int64_t part, BF16* out) {
    for (int64_t i = 0; i < kMatrixDepth; ++i) {
      const float value = i < count ? x[i] : 0.0f;
      out[i] = RoundToBF16(value);
      if (kParts == 2) out[part + i] = RoundToBF16(value - ToFloat(out[i]));
    }
  }

 private:
  static uint32_t Bits(BF16 value) { return static_cast<uint32_t>(value.bits) << 16; }

  // Even and odd elements have a sum each.
  static float Multiply(const BF16* x, const BF16* column) {
    float even = 0;
    float odd = 0;
    for (int pair = 0; pair < kMatrixDepth / 2; ++pair) {
      const BF16* w = column + pair * 2 * kColumnTile;
      even = Link(Bits(x[2 * pair]), Bits(w[0]), even);
      odd = Link(Bits(x[2 * pair + 1]), Bits(w[1]), odd);
    }
    return FlushDenormal(even + odd);
  }

  static inline thread_local int64_t rows[2];
  static inline thread_local float sums[2][2][kMatrixRows][kColumnTile];
};

template <typename Kernels>
KernelTable MakeTable(Isa isa, int32_t row_tile, MatmulPrecision precision,
                      Quantization quantization = Quantization::kNone) {
  KernelTable table = *GetKernelTable(Isa::kReference, WeightType::kBF16, quantization);
  table.isa = isa;
  SetLinearFunctions<Kernels>(row_tile, &table);
  table.pack_lora_b = PairLayout<2>::PackLoraB;
  table.precision = precision;
  return table;
}

}  // namespace

const KernelTable& DotTwinTable(MatmulPrecision precision) {
  static const KernelTable medium = MakeTable<DotLinear<Portable, 1>>(
      Isa::kAvx512Bf16, avx512bf16::kRowTile, MatmulPrecision::kMedium);
  static const KernelTable high = MakeTable<DotLinear<Portable, 2>>(
      Isa::kAvx512Bf16, avx512bf16::kRowTile, MatmulPrecision::kHigh);
  return precision == MatmulPrecision::kMedium ? medium : high;
}

const KernelTable& MatrixTwinTable(MatmulPrecision precision) {
  static const KernelTable medium =
      MakeTable<MatrixLinear<PortableTiles, 1>>(Isa::kAmx, kMatrixRows, MatmulPrecision::kMedium);
  static const KernelTable high =
      MakeTable<MatrixLinear<PortableTiles, 2>>(Isa::kAmx, kMatrixRows, MatmulPrecision::kHigh);
  return precision == MatmulPrecision::kMedium ? medium : high;
}

const KernelTable& Int8MatrixTwinTable() {
  static const KernelTable table = MakeTable<MatrixQuantized<PortableTiles, BF16>>(
      Isa::kAmx, kMatrixRows, MatmulPrecision::kAuto, Quantization::kInt8);
  return table;
}

}  // namespace lamella::kernels::testing
