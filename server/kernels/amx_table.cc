// The AMX tables: those of AVX512_BF16 with bfloat16 linear layers on matrix tiles. This file is
// compiled for the baseline: it only names functions.
#include "server/kernels/amx_kernels.h"
#include "server/kernels/isa_tables.h"

namespace lamella::kernels {
namespace {

TableSet MakeTables() {
  TableSet tables;
  for (const Quantization each : {Quantization::kNone, Quantization::kInt8, Quantization::kInt4}) {
    const auto index = static_cast<size_t>(each);
    tables.f32[index] = Avx512Bf16Table(WeightType::kF32, each);
    tables.bf16[index] = Avx512Bf16Table(WeightType::kBF16, each);
    tables.f32[index].isa = tables.bf16[index].isa = Isa::kAmx;
  }
  KernelTable& table = tables.bf16[static_cast<size_t>(Quantization::kNone)];
  table.row_tile = amx::kRowTile;
  table.packed_linear_bytes = amx::PackedLinearBytes;
  table.pack_linear = amx::PackLinear;
  table.unpack_row = amx::UnpackRow;
  table.packed_rows_bytes = amx::PackedRowsBytes;
  table.pack_rows = amx::PackRows;
  table.pack_lora_b = amx::PackLoraB;
  table.linear = amx::Linear;
  return tables;
}

}  // namespace

const KernelTable& AmxTable(WeightType weight_type, Quantization quantization) {
  static const TableSet tables = MakeTables();
  return tables.Get(weight_type, quantization);
}

}  // namespace lamella::kernels
