// The AVX512_BF16 tables: those of AVX512 with bfloat16 linear layers on dot products. This file is compiled for the baseline: it only names functions.
#include "server/kernels/avx512bf16_kernels.h"
#include "server/kernels/isa_tables.h"

namespace lamella::kernels {
namespace {

TableSet MakeTables() {
  TableSet tables;
  for (const Quantization each : {Quantization::kNone, Quantization::kInt8, Quantization::kInt4}) {
    const auto index = static_cast<size_t>(each);
    tables.f32[index] = Avx512Table(WeightType::kF32, each);
    tables.bf16[index] = Avx512Table(WeightType::kBF16, each);
    tables.f32[index].isa = tables.bf16[index].isa = Isa::kAvx512Bf16;
  }
  KernelTable& table = tables.bf16[static_cast<size_t>(Quantization::kNone)];
  table.row_tile = avx512bf16::kRowTile;
  table.packed_linear_bytes = avx512bf16::PackedLinearBytes;
  table.pack_linear = avx512bf16::PackLinear;
  table.unpack_row = avx512bf16::UnpackRow;
  table.packed_rows_bytes = avx512bf16::PackedRowsBytes;
  table.pack_rows = avx512bf16::PackRows;
  table.pack_lora_b = avx512bf16::PackLoraB;
  table.linear = avx512bf16::Linear;
  return tables;
}

}  // namespace

const KernelTable& Avx512Bf16Table(WeightType weight_type, Quantization quantization) {
  static const TableSet tables = MakeTables();
  return tables.Get(weight_type, quantization);
}

}  // namespace lamella::kernels
