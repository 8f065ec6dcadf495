// The tables that this build has, before anyone asks the processor. Internal to the room; callers
// use GetKernelTable.
#pragma once

#include "server/kernels/kernel_table.h"

namespace lamella::kernels {

const KernelTable& ReferenceTable(WeightType weight_type, Quantization quantization);
#if defined(LAMELLA_KERNELS_AVX2)
const KernelTable& Avx2Table(WeightType weight_type, Quantization quantization);
#endif
#if defined(LAMELLA_KERNELS_AVX512BF16)
const KernelTable& Avx512Bf16Table(WeightType weight_type, Quantization quantization);
#endif

}  // namespace lamella::kernels
