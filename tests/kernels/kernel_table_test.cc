#include "server/kernels/kernel_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "server/kernels/bf16.h"

namespace lamella::kernels {
namespace {

TEST(KernelTableTest, ReferenceIsAlwaysAvailable) {
  EXPECT_TRUE(IsaAvailable(Isa::kReference));
  EXPECT_TRUE(IsaAvailable(BestIsa()));
}

TEST(KernelTableTest, TablesSayWhatTheyAreAndHaveEveryFunction) {
  for (Isa isa : kAllIsas) {
    for (WeightType type : {WeightType::kF32, WeightType::kBF16}) {
      const KernelTable* table = GetKernelTable(isa, type);
      ASSERT_EQ(table != nullptr, IsaAvailable(isa));
      if (table == nullptr) continue;
      EXPECT_EQ(table->isa, isa);
      EXPECT_EQ(table->weight_type, type);
      EXPECT_EQ(table->element_bytes, type == WeightType::kF32 ? 4u : 2u);
      EXPECT_GE(table->row_tile, 1);
      EXPECT_TRUE(table->packed_linear_bytes && table->pack_linear && table->unpack_row &&
                  table->packed_rows_bytes && table->pack_rows && table->linear &&
                  table->lora_a_bytes && table->lora_b_bytes && table->pack_lora_a &&
                  table->pack_lora_b && table->lora_shrink && table->kv_write &&
                  table->attention_scratch_floats && table->attention && table->rms_norm &&
                  table->rope && table->add && table->silu_mul && table->gelu_tanh_mul);
    }
  }
}

TEST(KernelTableTest, NamesAndParsingAgree) {
  for (Isa isa : kAllIsas) {
    Isa parsed = isa == Isa::kReference ? Isa::kAvx2 : Isa::kReference;
    EXPECT_TRUE(ParseIsa(IsaName(isa), &parsed));
    EXPECT_EQ(parsed, isa);
  }
  for (const auto precision :
       {MatmulPrecision::kAuto, MatmulPrecision::kHigh, MatmulPrecision::kMedium}) {
    auto parsed =
        precision == MatmulPrecision::kAuto ? MatmulPrecision::kHigh : MatmulPrecision::kAuto;
    EXPECT_TRUE(ParseMatmulPrecision(MatmulPrecisionName(precision), &parsed));
    EXPECT_EQ(parsed, precision);
    EXPECT_FALSE(ParseMatmulPrecision("highest", &parsed));
    EXPECT_EQ(parsed, precision);
  }
  Isa untouched = Isa::kAvx2;
  for (const char* name : {"", "AVX2", "avx", "avx513", "avx2 "}) {
    EXPECT_FALSE(ParseIsa(name, &untouched)) << name;
  }
  EXPECT_EQ(untouched, Isa::kAvx2);
}

TEST(KernelTableTest, PrecisionIsOfProductsOfBFloat16) {
  for (Isa isa : kAllIsas) {
    if (!IsaAvailable(isa)) continue;
    const bool rounds = isa == Isa::kAvx512Bf16 || isa == Isa::kAmx;
    for (const KvType kv : {KvType::kServing, KvType::kInt8}) {
      for (const auto precision : {MatmulPrecision::kHigh, MatmulPrecision::kMedium}) {
        const KernelTable* plain =
            GetKernelTable(isa, WeightType::kBF16, Quantization::kNone, kv, precision);
        EXPECT_EQ(plain->precision, rounds ? precision : MatmulPrecision::kAuto);
        EXPECT_EQ(plain->kv_type, kv);
        const KernelTable* quantized =
            GetKernelTable(isa, WeightType::kBF16, Quantization::kInt8, kv, precision);
        EXPECT_EQ(quantized->precision, MatmulPrecision::kAuto);
        const KernelTable* floats =
            GetKernelTable(isa, WeightType::kF32, Quantization::kNone, kv, precision);
        EXPECT_EQ(floats->precision, MatmulPrecision::kAuto);
      }
    }
    const auto usual = isa == Isa::kAmx          ? MatmulPrecision::kHigh
                       : isa == Isa::kAvx512Bf16 ? MatmulPrecision::kMedium
                                                 : MatmulPrecision::kAuto;
    EXPECT_EQ(GetKernelTable(isa, WeightType::kBF16)->precision, usual);
  }
}

TEST(BF16Test, RoundsToNearestEvenAndKeepsSpecials) {
  EXPECT_EQ(RoundToBF16(1.0f).bits, 0x3f80);
  EXPECT_EQ(RoundToBF16(1.0f + 0x1p-8f).bits, 0x3f80);      // a tie, down to even
  EXPECT_EQ(RoundToBF16(1.0f + 3 * 0x1p-8f).bits, 0x3f82);  // a tie, up to even
  EXPECT_EQ(RoundToBF16(1.0f + 0x1p-8f + 0x1p-20f).bits, 0x3f81);
  EXPECT_EQ(RoundToBF16(-0.0f).bits, 0x8000);
  EXPECT_EQ(RoundToBF16(std::numeric_limits<float>::max()).bits, 0x7f80);  // rounds to infinity
  EXPECT_EQ(RoundToBF16(std::numeric_limits<float>::infinity()).bits, 0x7f80);
  for (uint32_t bits : {0x7fffffffu, 0x7f800001u, 0xff800001u}) {
    EXPECT_TRUE(std::isnan(ToFloat(RoundToBF16(__builtin_bit_cast(float, bits)))));
  }
}

}  // namespace
}  // namespace lamella::kernels
