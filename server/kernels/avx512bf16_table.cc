// The AVX512_BF16 tables: the AVX2 ones with bfloat16 linear layers of their own; on a quantized base
// linear layers are AVX2's. This file is compiled for the baseline: it only names functions.
#include <array>
#include <iterator>

#include "server/kernels/avx512bf16_kernels.h"
#include "server/kernels/isa_tables.h"

namespace lamella::kernels {
namespace {

KernelTable MakeTable(WeightType weight_type, Quantization quantization) {
  KernelTable table = Avx2Table(weight_type, quantization);
  table.isa = Isa::kAvx512Bf16;
  if (weight_type == WeightType::kF32 || quantization != Quantization::kNone) return table;
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

const KernelTable& Avx512Bf16Table(WeightType weight_type, Quantization quantization) {
  constexpr Quantization kAll[] = {Quantization::kNone, Quantization::kInt8, Quantization::kInt4};
  static const auto tables = [&kAll] {
    std::array<std::array<KernelTable, std::size(kAll)>, 2> made;
    for (const Quantization each : kAll) {
      made[0][static_cast<size_t>(each)] = MakeTable(WeightType::kF32, each);
      made[1][static_cast<size_t>(each)] = MakeTable(WeightType::kBF16, each);
    }
    return made;
  }();
  return tables[weight_type == WeightType::kF32 ? 0 : 1][static_cast<size_t>(quantization)];
}

}  // namespace lamella::kernels
