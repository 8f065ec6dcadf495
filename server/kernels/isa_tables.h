// The tables that this build has, before anyone asks the processor. Internal to the room; callers
// use GetKernelTable.
#pragma once

#include "server/kernels/kernel_table.h"

namespace lamella::kernels {

const KernelTable& ReferenceTable(WeightType weight_type);

}  // namespace lamella::kernels
