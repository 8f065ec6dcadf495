// Small bases and adapters with known values, for tests of server/lora.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/formats/base_spec.h"
#include "server/kernels/kernel_table.h"
#include "server/lora/adapter_weights.h"

namespace lamella {

inline const kernels::KernelTable& ReferenceKernels(
    kernels::WeightType type = kernels::WeightType::kF32) {
  return *kernels::GetKernelTable(kernels::Isa::kReference, type);
}

// A base whose q and o are [hidden, hidden], k and v [kv, hidden], gate and up [inner, hidden],
// down [hidden, inner].
inline BaseSpec SmallBase(int32_t layers, int64_t hidden, int64_t kv, int64_t inner) {
  BaseSpec base;
  base.architecture = "LlamaForCausalLM";
  base.fingerprint = std::string(64, 'f');
  for (int32_t layer = 0; layer < layers; ++layer) {
    const std::pair<int64_t, int64_t> in_out[kModuleKinds] = {
        {hidden, hidden}, {hidden, kv},    {hidden, kv},   {hidden, hidden},
        {hidden, inner},  {hidden, inner}, {inner, hidden}};
    for (int32_t i = 0; i < kModuleKinds; ++i) {
      const auto kind = static_cast<ModuleKind>(i);
      base.modules.push_back(
          {ModulePath(layer, kind), layer, kind, in_out[i].first, in_out[i].second});
    }
  }
  return base;
}

inline LoraModuleShape ShapeOf(const BaseSpec& base, int32_t layer, ModuleKind kind, int32_t rank,
                               float scale = 1.0F) {
  const BaseModule& module = base.module(layer, kind);
  return {layer, kind, rank, module.in_features, module.out_features, scale};
}

inline std::vector<float> RandomFloats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

// An adapter with random matrices, which it keeps: what packed weights must reproduce.
struct RandomAdapter {
  RandomAdapter(const BaseSpec& base, std::vector<LoraModuleShape> module_shapes, uint32_t seed,
                const kernels::KernelTable& kernels = ReferenceKernels())
      : shapes(std::move(module_shapes)) {
    AdapterRef ref{"default", "random-" + std::to_string(seed), std::string(64, '0')};
    AdapterWeightsBuilder builder(std::move(ref), base.num_layers(), shapes, kernels);
    for (size_t i = 0; i < shapes.size(); ++i) {
      const auto rank = static_cast<size_t>(shapes[i].rank);
      const auto salt = static_cast<uint32_t>(2 * i);
      a.push_back(
          RandomFloats(rank * static_cast<size_t>(shapes[i].in_features), 1000 * seed + salt));
      b.push_back(
          RandomFloats(rank * static_cast<size_t>(shapes[i].out_features), 1000 * seed + salt + 1));
      builder.Pack(i, a[i].data(), b[i].data());
    }
    weights = std::move(builder).Finish();
  }

  // scale B (A x), in double; nothing if the adapter does not change the module.
  std::vector<double> Delta(int32_t layer, ModuleKind kind, const float* x) const {
    for (size_t i = 0; i < shapes.size(); ++i) {
      if (shapes[i].layer == layer && shapes[i].kind == kind) return DeltaOf(i, x);
    }
    return {};
  }

  std::vector<LoraModuleShape> shapes;
  std::vector<std::vector<float>> a;  // per shape: float [rank][in_features]
  std::vector<std::vector<float>> b;  // per shape: float [out_features][rank]
  std::unique_ptr<const AdapterWeights> weights;

 private:
  std::vector<double> DeltaOf(size_t i, const float* x) const {
    const LoraModuleShape& shape = shapes[i];
    const auto in = static_cast<size_t>(shape.in_features);
    const auto rank = static_cast<size_t>(shape.rank);
    std::vector<double> v(rank, 0.0);
    for (size_t r = 0; r < rank; ++r) {
      for (size_t k = 0; k < in; ++k) v[r] += static_cast<double>(a[i][r * in + k]) * x[k];
    }
    std::vector<double> y(static_cast<size_t>(shape.out_features), 0.0);
    for (size_t n = 0; n < y.size(); ++n) {
      for (size_t r = 0; r < rank; ++r) y[n] += static_cast<double>(b[i][n * rank + r]) * v[r];
      y[n] *= static_cast<double>(shape.scale);
    }
    return y;
  }
};

}  // namespace lamella
