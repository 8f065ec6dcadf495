#include "tests/kernels/portable_twin.h"

#include <cmath>
#include <cstring>

#include "server/kernels/avx512bf16_kernels.h"
#include "server/kernels/dot_linear.h"

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

template <int kParts>
KernelTable MakeTwin() {
  using Kernels = DotLinear<Portable, kParts>;
  KernelTable table = *GetKernelTable(Isa::kReference, WeightType::kBF16);
  table.isa = Isa::kAvx512Bf16;
  table.row_tile = avx512bf16::kRowTile;
  table.packed_linear_bytes = Kernels::PackedLinearBytes;
  table.pack_linear = Kernels::PackLinear;
  table.unpack_row = Kernels::UnpackRow;
  table.packed_rows_bytes = Kernels::PackedRowsBytes;
  table.pack_rows = Kernels::PackRows;
  table.pack_lora_b = Kernels::PackLoraB;
  table.linear = Kernels::Linear;
  return table;
}

}  // namespace

const KernelTable& PortableTwinTable(int parts) {
  static const KernelTable one = MakeTwin<1>();
  static const KernelTable two = MakeTwin<2>();
  return parts == 1 ? one : two;
}

}  // namespace lamella::kernels::testing
