// The portable twin of the AVX512_BF16 tables: the same templates over arrays instead of registers,
// with the arithmetic that Intel documents for vdpbf16ps. Everything but the linear layers is the
// reference's. It runs on any machine.
#pragma once

#include "server/kernels/kernel_table.h"

namespace lamella::kernels::testing {

// `precision` is kHigh or kMedium.
const KernelTable& DotTwinTable(MatmulPrecision precision);

// The same of AMX: matrix tiles of floats in memory, with the arithmetic that Intel documents for
// tdpbf16ps, or its integer products on an int8 base.
const KernelTable& MatrixTwinTable(MatmulPrecision precision);
const KernelTable& Int8MatrixTwinTable();

}  // namespace lamella::kernels::testing
