#include "server/kernels/int8_kv.h"
#include "server/kernels/isa_tables.h"
#include "server/kernels/reference_attention.h"
#include "server/kernels/reference_linear.h"

namespace lamella::kernels {
namespace {

template <typename T>
size_t KvBlockBytes(int32_t head_dim) {
  return static_cast<size_t>(KvElements(head_dim, T())) * sizeof(T);
}

template <typename T>
constexpr KernelTable MakeTable(WeightType weight_type) {
  return KernelTable{
      .isa = Isa::kReference,
      .weight_type = weight_type,
      .quantization = Quantization::kNone,
      .kv_type = KvType::kServing,
      .precision = MatmulPrecision::kAuto,
      .row_tile = 1,
      .element_bytes = sizeof(T),
      .packed_linear_bytes = reference::PackedLinearBytes<T>,
      .pack_linear = reference::PackLinear<T>,
      .unpack_row = reference::UnpackRow<T>,
      .packed_rows_bytes = reference::PackedRowsBytes,
      .pack_rows = reference::PackRows,
      .linear = reference::Linear<T>,
      .lora_a_bytes = reference::LoraABytes<T>,
      .lora_b_bytes = reference::PackedLinearBytes<T>,
      .pack_lora_a = reference::PackLoraA<T>,
      .pack_lora_b = reference::PackLoraB<T>,
      .lora_shrink = reference::LoraShrink<T>,
      .kv_block_bytes = KvBlockBytes<T>,
      .kv_write = reference::KvWrite<T>,
      .attention_scratch_floats = reference::AttentionScratchFloats,
      .attention = reference::Attention<T>,
      .rms_norm = reference::RmsNorm,
      .rope = reference::Rope,
      .add = reference::Add,
      .silu_mul = reference::SiluMul,
      .gelu_tanh_mul = reference::GeluTanhMul,
  };
}

template <typename T, typename Q>
constexpr KernelTable MakeQuantized(WeightType weight_type) {
  KernelTable table = WithQuantizedWeights<Q>(MakeTable<T>(weight_type));
  table.linear = reference::QuantizedLinear<Q, T>;
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

const KernelTable& ReferenceTable(WeightType weight_type, Quantization quantization) {
  return kTables.Get(weight_type, quantization);
}

KernelTable WithReferenceInt8Kv(KernelTable table) {
  table.kv_type = KvType::kInt8;
  table.kv_block_bytes = KvBlockBytes<int8_t>;
  table.kv_write = reference::KvWrite<int8_t>;
  table.attention = reference::Attention<int8_t>;
  return table;
}

}  // namespace lamella::kernels
