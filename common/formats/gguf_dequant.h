// Decodes the blocks of GGUF tensors to fp32. Every type follows the reference decoder's order of
// operations, so results are bit-identical to it (tests/golden/gguf_dequant.json). Pure functions:
// no state, no allocation, any thread.
#pragma once

#include <cstdint>
#include <span>

#include "common/formats/gguf.h"

namespace lamella {

// Decodes `elements` values, a multiple of the type's block. `blocks` holds at least
// elements / block.elements * block.bytes bytes, of any alignment; `out` has room for `elements`.
void DequantizeBlocks(GgmlType type, std::span<const uint8_t> blocks, int64_t elements, float* out);

// Rows [row_begin, row_end) of `tensor`, which must be within it, row-major.
void DequantizeRows(const GgufTensor& tensor, int64_t row_begin, int64_t row_end, float* out);

}  // namespace lamella
