// Any text as an adapter_config.json: parse it, and ask what was accepted for ranks and scales. The
// canonical form must itself be strict JSON.
//   build/fuzz/bin/adapter_config_fuzz tests/fuzz/corpus/adapter_config -max_total_time=10
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "common/formats/json.h"
#include "common/formats/peft_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = lamella::ParsePeftConfig(text);
  if (!config.ok()) return 0;
  for (const char* path : {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj"}) {
    const int32_t rank = config->RankFor(path);
    if (rank < 1) std::abort();
    (void)config->ScaleFor(path, rank);
  }
  if (!lamella::ParseStrictJson(config->Canonical()).ok()) std::abort();
  return 0;
}
