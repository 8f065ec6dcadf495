// Adapters of random weights, for any base, where only sizes and differences matter.
#pragma once

#include <cstdint>
#include <memory>

#include "server/lora/adapter_weights.h"

namespace lamella::testing {

struct RandomAdapterOptions {
  uint32_t seed = 1;
  int32_t rank = 8;       // of every one of the seven linears
  float strength = 0.3F;  // of B A x beside a base product of unit weights
};

std::unique_ptr<const AdapterWeights> MakeRandomAdapter(const BaseSpec& base,
                                                        const kernels::KernelTable& table,
                                                        const RandomAdapterOptions& options);

}  // namespace lamella::testing
