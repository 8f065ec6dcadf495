// The AVX512 tables: the AVX2 ones with linear layers and low-rank factors of their own; linear
// layers on a quantized base only if the processor has AVX512_VNNI. This file is compiled for the
// baseline: it only names functions.
#include "server/kernels/avx512_kernels.h"
#include "server/kernels/bf16.h"
#include "server/kernels/isa_tables.h"

namespace lamella::kernels {
namespace {

// B of bfloat16 lies in the order of columns; that of float is AVX2's.
void SetB(KernelTable* /*table*/, float /*tag*/) {}
void SetB(KernelTable* table, BF16 /*tag*/) { table->pack_lora_b = avx512::PackLoraB; }

template <typename T>
KernelTable WithFactors(KernelTable table) {
  table.isa = Isa::kAvx512;
  table.pack_lora_a = avx512::PackLoraA<T>;
  table.lora_shrink = avx512::LoraShrink<T>;
  return table;
}

template <typename T>
void SetLinear(KernelTable* table) {
  table->row_tile = avx512::kRowTile;
  table->packed_rows_bytes = avx512::PackedRowsBytes;
  table->pack_rows = avx512::PackRows;
  table->linear = avx512::Linear<T>;
  SetB(table, T());
}

template <typename Q, typename T>
void SetQuantizedLinear(KernelTable* table) {
  table->row_tile = avx512::kQuantizedRowTile;
  table->packed_rows_bytes = avx512::QuantizedRowsBytes<Q>;
  table->pack_rows = avx512::PackQuantizedRows<Q>;
  table->linear = avx512::QuantizedLinear<Q, T>;
  SetB(table, T());
}

TableSet MakeTables() {
  TableSet tables;
  for (const Quantization each : {Quantization::kNone, Quantization::kInt8, Quantization::kInt4}) {
    const auto index = static_cast<size_t>(each);
    tables.f32[index] = WithFactors<float>(Avx2Table(WeightType::kF32, each));
    tables.bf16[index] = WithFactors<BF16>(Avx2Table(WeightType::kBF16, each));
  }
  constexpr auto kPlain = static_cast<size_t>(Quantization::kNone);
  SetLinear<float>(&tables.f32[kPlain]);
  KernelTable& table = tables.bf16[kPlain];
  SetLinear<BF16>(&table);
  table.packed_linear_bytes = avx512::PackedLinearBytes;
  table.pack_linear = avx512::PackLinear;
  table.unpack_row = avx512::UnpackRow;
  if (__builtin_cpu_supports("avx512vnni")) {
    constexpr auto kInt8 = static_cast<size_t>(Quantization::kInt8);
    constexpr auto kInt4 = static_cast<size_t>(Quantization::kInt4);
    SetQuantizedLinear<Int8Groups, float>(&tables.f32[kInt8]);
    SetQuantizedLinear<Int8Groups, BF16>(&tables.bf16[kInt8]);
    SetQuantizedLinear<Int4Groups, float>(&tables.f32[kInt4]);
    SetQuantizedLinear<Int4Groups, BF16>(&tables.bf16[kInt4]);
  }
  return tables;
}

}  // namespace

const KernelTable& Avx512Table(WeightType weight_type, Quantization quantization) {
  static const TableSet tables = MakeTables();
  return tables.Get(weight_type, quantization);
}

}  // namespace lamella::kernels
