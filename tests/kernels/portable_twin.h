// The portable twin of the AVX512_BF16 table: the same templates over arrays instead of registers,
// with the arithmetic that Intel documents for vdpbf16ps. Everything but the linear layers is the
// reference's. It runs on any machine.
#pragma once

#include "server/kernels/kernel_table.h"

namespace lamella::kernels::testing {

// `parts` bfloat16s per activation, 1 or 2.
const KernelTable& PortableTwinTable(int parts);

// The same of AMX: matrix tiles of floats in memory, with the arithmetic that Intel documents for
// tdpbf16ps, or its integer products on an int8 base.
const KernelTable& MatrixTwinTable(Quantization quantization = Quantization::kNone);

}  // namespace lamella::kernels::testing
