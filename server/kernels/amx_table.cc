// The AMX tables: those of AVX512_BF16 with bfloat16 and int8 linear layers on matrix tiles. This file is
// compiled for the baseline: it only names functions.
#include "server/kernels/amx_kernels.h"
#include "server/kernels/bf16.h"
#include "server/kernels/isa_tables.h"

namespace lamella::kernels {
namespace {

template <typename T>
void SetInt8Linear(KernelTable* table) {
  table->row_tile = amx::kRowTile;
  table->packed_linear_bytes = amx::Int8LinearBytes;
  table->pack_linear = amx::PackInt8Linear;
  table->unpack_row = amx::UnpackInt8Row;
  table->packed_rows_bytes = amx::Int8RowsBytes;
  table->pack_rows = amx::PackInt8Rows;
  table->linear = amx::Int8Linear<T>;
}

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
  constexpr auto kInt8 = static_cast<size_t>(Quantization::kInt8);
  SetInt8Linear<float>(&tables.f32[kInt8]);
  SetInt8Linear<BF16>(&tables.bf16[kInt8]);
  return tables;
}

}  // namespace

const KernelTable& AmxTable(WeightType weight_type, Quantization quantization) {
  static const TableSet tables = MakeTables();
  return tables.Get(weight_type, quantization);
}

}  // namespace lamella::kernels
