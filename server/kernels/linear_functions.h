// Puts the linear layers of a class of static functions into a table. Internal to the room; has
// internal linkage, as all that files of one ISA include.
#pragma once

#include "server/kernels/kernel_table.h"

namespace lamella::kernels {
namespace {

template <typename Kernels>
void SetLinearFunctions(int32_t row_tile, KernelTable* table) {
  table->row_tile = row_tile;
  table->packed_linear_bytes = Kernels::PackedLinearBytes;
  table->pack_linear = Kernels::PackLinear;
  table->unpack_row = Kernels::UnpackRow;
  table->packed_rows_bytes = Kernels::PackedRowsBytes;
  table->pack_rows = Kernels::PackRows;
  table->linear = Kernels::Linear;
}

}  // namespace
}  // namespace lamella::kernels
