// BaseSpecs of the models that tests speak of, written down by hand: no weights needed.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "common/formats/base_spec.h"

namespace lamella::testing {

struct DecoderSizes {
  int32_t layers = 1;
  int64_t hidden = 8;
  int64_t q_out = 8;
  int64_t kv_out = 4;
  int64_t mlp = 16;
};

inline BaseSpec MakeDecoderSpec(const DecoderSizes& sizes) {
  const int64_t h = sizes.hidden;
  const std::array<std::array<int64_t, 2>, kModuleKinds> in_out = {{{h, sizes.q_out},
                                                                    {h, sizes.kv_out},
                                                                    {h, sizes.kv_out},
                                                                    {sizes.q_out, h},
                                                                    {h, sizes.mlp},
                                                                    {h, sizes.mlp},
                                                                    {sizes.mlp, h}}};
  BaseSpec spec;
  spec.architecture = "LlamaForCausalLM";
  spec.fingerprint = std::string(64, 'f');
  for (int32_t layer = 0; layer < sizes.layers; ++layer) {
    for (int32_t kind = 0; kind < kModuleKinds; ++kind) {
      const auto module_kind = static_cast<ModuleKind>(kind);
      const auto& [in, out] = in_out[static_cast<size_t>(kind)];
      spec.modules.push_back({ModulePath(layer, module_kind), layer, module_kind, in, out});
    }
  }
  return spec;
}

// Two layers, in 8, q 8, k and v 4, mlp 16.
inline BaseSpec TinySpec() { return MakeDecoderSpec({.layers = 2}); }

inline BaseSpec SmolLm2Spec() {
  return MakeDecoderSpec({.layers = 30, .hidden = 576, .q_out = 576, .kv_out = 192, .mlp = 1536});
}

inline BaseSpec Gemma270mSpec() {
  BaseSpec spec =
      MakeDecoderSpec({.layers = 18, .hidden = 640, .q_out = 1024, .kv_out = 256, .mlp = 2048});
  spec.architecture = "Gemma3ForCausalLM";
  return spec;
}

}  // namespace lamella::testing
