// What the AMX files put into their tables. Without quantization the serving dtype is bfloat16, and
// activations are split into the sum of two bfloat16. Internal to the room. Call these only where the
// processor has the instructions and the process may use them.
#pragma once

#include "server/kernels/kernel_table.h"

namespace lamella::kernels::amx {

void SetLinear(KernelTable* table);
// On an int8 base, in a layout of its own; adapters of T.
template <typename T>
void SetInt8Linear(KernelTable* table);

}  // namespace lamella::kernels::amx
