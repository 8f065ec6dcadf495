// The AVX512_BF16 tables: those of AVX512 with bfloat16 linear layers on dot products. This file is
// compiled for the baseline.
#include "server/kernels/avx512bf16_kernels.h"
#include "server/kernels/isa_tables.h"

namespace lamella::kernels {
namespace {

TableSet MakeTables(MatmulPrecision precision) {
  TableSet tables;
  for (const Quantization each : {Quantization::kNone, Quantization::kInt8, Quantization::kInt4}) {
    const auto index = static_cast<size_t>(each);
    tables.f32[index] = Avx512Table(WeightType::kF32, each);
    tables.bf16[index] = Avx512Table(WeightType::kBF16, each);
    tables.f32[index].isa = tables.bf16[index].isa = Isa::kAvx512Bf16;
  }
  avx512bf16::SetLinear(precision, &tables.bf16[static_cast<size_t>(Quantization::kNone)]);
  return tables;
}

}  // namespace

const KernelTable& Avx512Bf16Table(WeightType weight_type, Quantization quantization,
                                   MatmulPrecision precision) {
  static const TableSet high = MakeTables(MatmulPrecision::kHigh);
  static const TableSet medium = MakeTables(MatmulPrecision::kMedium);
  return (precision == MatmulPrecision::kMedium ? medium : high).Get(weight_type, quantization);
}

}  // namespace lamella::kernels
