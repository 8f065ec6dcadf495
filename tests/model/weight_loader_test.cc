#include "server/model/weight_loader.h"

#include <gtest/gtest.h>

#include "tests/model/tiny_model.h"

namespace lamella::testing {
namespace {

using kernels::ForkJoinPool;
using kernels::GetKernelTable;
using kernels::Isa;
using kernels::WeightType;

std::vector<float> Row(const PackedLinear& linear, const kernels::KernelTable& table, int64_t row) {
  std::vector<float> out(static_cast<size_t>(linear.k));
  table.unpack_row(linear.packed, linear.n, linear.k, row, out.data());
  return out;
}

TEST(WeightLoaderTest, EveryRowOfEveryLinearIsWhereItBelongs) {
  const TinySource source(TinyConfig("qwen2_bias"), 4);
  const kernels::KernelTable& table = *GetKernelTable(Isa::kReference, WeightType::kBF16);
  ForkJoinPool pool(3);
  const auto weights = LoadModelWeights(source, table, table, &pool);
  ASSERT_TRUE(weights.ok()) << weights.status();
  for (const LayerWeights& layer : (*weights)->layers) {
    for (int32_t kind = 0; kind < kModuleKinds; ++kind) {
      const PackedLinear& linear = layer.linears[static_cast<size_t>(kind)];
      const auto index = static_cast<int32_t>(&layer - (*weights)->layers.data());
      const std::string path = ModulePath(index, static_cast<ModuleKind>(kind));
      const std::vector<float>& values = source.values(path + ".weight");
      for (int64_t row = 0; row < linear.n; ++row) {
        const auto begin = values.begin() + row * linear.k;
        ASSERT_EQ(Row(linear, table, row), std::vector<float>(begin, begin + linear.k)) << path;
      }
      EXPECT_EQ(linear.bias != nullptr, kind <= static_cast<int32_t>(ModuleKind::kV));
    }
  }
}

TEST(WeightLoaderTest, TiedHeadIsTheEmbeddingsMatrix) {
  ForkJoinPool pool(1);
  const kernels::KernelTable& table = *GetKernelTable(Isa::kReference, WeightType::kBF16);
  const TinySource tied(TinyConfig("llama"), 4);
  const auto weights = LoadModelWeights(tied, table, table, &pool);
  ASSERT_TRUE(weights.ok());
  EXPECT_EQ((*weights)->head.packed, (*weights)->embedding.packed);
  const TinySource untied(TinyConfig("linear_rope_untied"), 4);
  const auto others = LoadModelWeights(untied, table, table, &pool);
  ASSERT_TRUE(others.ok());
  EXPECT_NE((*others)->head.packed, (*others)->embedding.packed);
}

TEST(WeightLoaderTest, SourcesErrorIsTheLoadersError) {
  TinySource source(TinyConfig("gemma3"), 4);
  source.FailReadsOf("model.layers.1.self_attn.q_norm.weight");
  ForkJoinPool pool(2);
  const auto weights = LoadModelWeights(source, *GetKernelTable(Isa::kReference, WeightType::kF32),
                                        *GetKernelTable(Isa::kReference, WeightType::kF32), &pool);
  EXPECT_EQ(weights.status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace lamella::testing
