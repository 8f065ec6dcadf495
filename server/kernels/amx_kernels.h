// What the AMX files put into their tables. Internal to the room. Call these only where the processor
// has the instructions and the process may use them.
#pragma once

#include "server/kernels/kernel_table.h"

namespace lamella::kernels::amx {

// Linear layers of the serving dtype bfloat16 on a base that is not quantized. kMedium has less than
// half the error of a library in bfloat16, but turned a choice of Gemma 3 270M whose gap is 0.62;
// and rows of a step wait for memory. So kHigh is what is served unless kMedium is asked for.
void SetLinear(MatmulPrecision precision, KernelTable* table);
// On an int8 base, in a layout of its own; adapters of T.
template <typename T>
void SetInt8Linear(KernelTable* table);

}  // namespace lamella::kernels::amx
