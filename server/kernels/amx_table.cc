// The AMX tables: those of AVX512_BF16 with bfloat16 and int8 linear layers on matrix tiles. This
// file is compiled for the baseline.
#include "server/kernels/amx_kernels.h"
#include "server/kernels/bf16.h"
#include "server/kernels/isa_tables.h"

namespace lamella::kernels {
namespace {

TableSet MakeTables(MatmulPrecision precision) {
  TableSet tables;
  for (const Quantization each : {Quantization::kNone, Quantization::kInt8, Quantization::kInt4}) {
    const auto index = static_cast<size_t>(each);
    tables.f32[index] = Avx512Bf16Table(WeightType::kF32, each, precision);
    tables.bf16[index] = Avx512Bf16Table(WeightType::kBF16, each, precision);
    tables.f32[index].isa = tables.bf16[index].isa = Isa::kAmx;
  }
  amx::SetLinear(precision, &tables.bf16[static_cast<size_t>(Quantization::kNone)]);
  constexpr auto kInt8 = static_cast<size_t>(Quantization::kInt8);
  amx::SetInt8Linear<float>(&tables.f32[kInt8]);
  amx::SetInt8Linear<BF16>(&tables.bf16[kInt8]);
  return tables;
}

}  // namespace

const KernelTable& AmxTable(WeightType weight_type, Quantization quantization,
                            MatmulPrecision precision) {
  static const TableSet high = MakeTables(MatmulPrecision::kHigh);
  static const TableSet medium = MakeTables(MatmulPrecision::kMedium);
  return (precision == MatmulPrecision::kMedium ? medium : high).Get(weight_type, quantization);
}

}  // namespace lamella::kernels
