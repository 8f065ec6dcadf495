#include "server/kernels/isa_tables.h"
#include "server/kernels/reference_attention.h"
#include "server/kernels/reference_linear.h"

namespace lamella::kernels {
namespace {

template <typename T>
constexpr KernelTable MakeTable(WeightType weight_type) {
  return KernelTable{
      .isa = Isa::kReference,
      .weight_type = weight_type,
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

constexpr KernelTable kF32Table = MakeTable<float>(WeightType::kF32);
constexpr KernelTable kBF16Table = MakeTable<BF16>(WeightType::kBF16);

}  // namespace

const KernelTable& ReferenceTable(WeightType weight_type) {
  return weight_type == WeightType::kF32 ? kF32Table : kBF16Table;
}

}  // namespace lamella::kernels
