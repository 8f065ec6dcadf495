// The AVX2 tables. This file is compiled for the baseline: it only names functions.
#include "server/kernels/avx2_kernels.h"
#include "server/kernels/int8_kv.h"
#include "server/kernels/isa_tables.h"

namespace lamella::kernels {
namespace {

constexpr int32_t kRowTile = 6;

template <typename T>
size_t PackedLinearBytes(int64_t n, int64_t k) {
  return static_cast<size_t>(CeilDiv(n, kColumnTile) * kColumnTile * k) * sizeof(T);
}

template <typename T>
size_t LoraABytes(int64_t rank, int64_t k) {
  return static_cast<size_t>(rank * k) * sizeof(T);
}

size_t PackedRowsBytes(int64_t rows, int64_t k) {
  return static_cast<size_t>(rows * k) * sizeof(float);
}

template <typename T>
size_t KvBlockBytes(int32_t head_dim) {
  return static_cast<size_t>(KvElements(head_dim, T())) * sizeof(T);
}

template <typename T>
constexpr KernelTable MakeTable(WeightType weight_type) {
  return KernelTable{
      .isa = Isa::kAvx2,
      .weight_type = weight_type,
      .quantization = Quantization::kNone,
      .kv_type = KvType::kServing,
      .precision = MatmulPrecision::kAuto,
      .row_tile = kRowTile,
      .element_bytes = sizeof(T),
      .packed_linear_bytes = PackedLinearBytes<T>,
      .pack_linear = avx2::PackLinear<T>,
      .unpack_row = avx2::UnpackRow<T>,
      .packed_rows_bytes = PackedRowsBytes,
      .pack_rows = avx2::PackRows,
      .linear = avx2::Linear<T>,
      .lora_a_bytes = LoraABytes<T>,
      .lora_b_bytes = PackedLinearBytes<T>,
      .pack_lora_a = avx2::PackLoraA<T>,
      .pack_lora_b = avx2::PackLoraB<T>,
      .lora_shrink = avx2::LoraShrink<T>,
      .kv_block_bytes = KvBlockBytes<T>,
      .kv_write = avx2::KvWrite<T>,
      .attention_scratch_floats = avx2::AttentionScratchFloats<float>,
      .attention = avx2::Attention<T>,
      .rms_norm = avx2::RmsNorm,
      .rope = avx2::Rope,
      .add = avx2::Add,
      .silu_mul = avx2::SiluMul,
      .gelu_tanh_mul = avx2::GeluTanhMul,
  };
}

template <typename T, typename Q>
constexpr KernelTable MakeQuantized(WeightType weight_type) {
  KernelTable table = WithQuantizedWeights<Q>(MakeTable<T>(weight_type));
  table.packed_rows_bytes = avx2::QuantizedRowsBytes<Q>;
  table.pack_rows = avx2::PackQuantizedRows<Q>;
  table.linear = avx2::QuantizedLinear<Q, T>;
  return table;
}

template <typename T>
constexpr std::array<KernelTable, 3> MakeTables(WeightType weight_type) {
  return {MakeTable<T>(weight_type), MakeQuantized<T, Int8Groups>(weight_type),
          MakeQuantized<T, Int4Groups>(weight_type)};
}

constexpr TableSet kTables = {MakeTables<float>(WeightType::kF32),
                              MakeTables<BF16>(WeightType::kBF16)};

}  // namespace

const KernelTable& Avx2Table(WeightType weight_type, Quantization quantization) {
  return kTables.Get(weight_type, quantization);
}

KernelTable WithAvx2Int8Kv(KernelTable table) {
  table.kv_type = KvType::kInt8;
  table.kv_block_bytes = KvBlockBytes<int8_t>;
  table.kv_write = avx2::KvWrite<int8_t>;
  table.attention_scratch_floats = avx2::AttentionScratchFloats<int8_t>;
  table.attention = avx2::Attention<int8_t>;
  return table;
}

}  // namespace lamella::kernels
