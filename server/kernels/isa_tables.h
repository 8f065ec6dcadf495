// The tables that this build has, before anyone asks the processor. Internal to the room; callers
// use GetKernelTable.
#pragma once

#include <array>

#include "server/kernels/kernel_table.h"
#include "server/kernels/quantized.h"

namespace lamella::kernels {

// All tables of one ISA.
struct TableSet {
  std::array<KernelTable, 3> f32;  // by Quantization
  std::array<KernelTable, 3> bf16;

  constexpr const KernelTable& Get(WeightType weight_type, Quantization quantization) const {
    const auto index = static_cast<size_t>(quantization);
    return weight_type == WeightType::kF32 ? f32[index] : bf16[index];
  }
};

// `table` with the base's weights in groups Q, but for the linear layers, which are the ISA's.
template <typename Q>
constexpr KernelTable WithQuantizedWeights(KernelTable table) {
  table.quantization = Q::kName;
  table.packed_linear_bytes = QuantizedLinearBytes<Q>;
  table.pack_linear = PackQuantizedLinear<Q>;
  table.unpack_row = UnpackQuantizedRow<Q>;
  return table;
}

const KernelTable& ReferenceTable(WeightType weight_type, Quantization quantization);
// `table` with integer keys and values.
KernelTable WithReferenceInt8Kv(KernelTable table);
#if defined(LAMELLA_KERNELS_AVX2)
const KernelTable& Avx2Table(WeightType weight_type, Quantization quantization);
KernelTable WithAvx2Int8Kv(KernelTable table);  // of AVX2 and above
#endif
#if defined(LAMELLA_KERNELS_AVX512)
const KernelTable& Avx512Table(WeightType weight_type, Quantization quantization);
#endif
#if defined(LAMELLA_KERNELS_AVX512BF16)
const KernelTable& Avx512Bf16Table(WeightType weight_type, Quantization quantization,
                                   MatmulPrecision precision);  // kHigh or kMedium
#endif
#if defined(LAMELLA_KERNELS_AMX)
const KernelTable& AmxTable(WeightType weight_type, Quantization quantization,
                            MatmulPrecision precision);  // kHigh or kMedium
#endif

}  // namespace lamella::kernels
