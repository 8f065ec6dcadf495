// The AVX512_BF16 tables: the AVX2 ones with bfloat16 linear layers of their own. This file is
// compiled for the baseline: it only names functions.
#include "server/kernels/avx512bf16_kernels.h"
#include "server/kernels/isa_tables.h"

namespace lamella::kernels {
namespace {

KernelTable MakeTable(WeightType weight_type) {
  KernelTable table = Avx2Table(weight_type);
  table.isa = Isa::kAvx512Bf16;
  if (weight_type == WeightType::kF32) return table;
  table.row_tile = avx512bf16::kRowTile;
  table.packed_linear_bytes = avx512bf16::PackedLinearBytes;
  table.pack_linear = avx512bf16::PackLinear;
  table.unpack_row = avx512bf16::UnpackRow;
  table.packed_rows_bytes = avx512bf16::PackedRowsBytes;
  table.pack_rows = avx512bf16::PackRows;
  table.pack_lora_b = avx512bf16::PackLoraB;
  table.linear = avx512bf16::Linear;
  return table;
}

}  // namespace

const KernelTable& Avx512Bf16Table(WeightType weight_type) {
  static const KernelTable f32_table = MakeTable(WeightType::kF32);
  static const KernelTable bf16_table = MakeTable(WeightType::kBF16);
  return weight_type == WeightType::kF32 ? f32_table : bf16_table;
}

}  // namespace lamella::kernels
