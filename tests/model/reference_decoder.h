// An independent decoder for tests: fp64, whole sequences, no cache, no packing, no batching, made
// of kernels_torch's operators.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/model/tiny_model.h"

namespace lamella::testing {

// Logits after each of `tokens`: [tokens][vocab_size]. `adapter` may be null.
std::vector<std::vector<double>> ReferenceLogits(const TinySource& source,
                                                 const std::vector<int32_t>& tokens,
                                                 const TinyAdapter* adapter);

}  // namespace lamella::testing
