#include "server/lora/adapter_weights.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/lora/lora_fixtures.h"

namespace lamella {
namespace {

constexpr ModuleKind kAllKinds[] = {ModuleKind::kQ,   ModuleKind::kK,    ModuleKind::kV,
                                    ModuleKind::kO,   ModuleKind::kGate, ModuleKind::kUp,
                                    ModuleKind::kDown};

// SmolLM2-135M's widths.
BaseSpec RealBase() { return SmallBase(30, 576, 192, 1536); }

std::vector<LoraModuleShape> EveryLayer(const BaseSpec& base, std::vector<ModuleKind> kinds,
                                        int32_t rank) {
  std::vector<LoraModuleShape> shapes;
  for (int32_t layer = 0; layer < base.num_layers(); ++layer) {
    for (const ModuleKind kind : kinds) shapes.push_back(ShapeOf(base, layer, kind, rank));
  }
  return shapes;
}

TEST(AdapterWeightsTest, ModulesThatAreNotChangedHaveNoRank) {
  const BaseSpec base = SmallBase(2, 32, 16, 48);
  const RandomAdapter adapter(base, {ShapeOf(base, 1, ModuleKind::kV, 3)}, 1);
  for (int32_t layer = 0; layer < 2; ++layer) {
    for (const ModuleKind kind : kAllKinds) {
      const bool changed = layer == 1 && kind == ModuleKind::kV;
      EXPECT_EQ(adapter.weights->module(layer, kind).rank, changed ? 3 : 0);
      EXPECT_EQ(adapter.weights->module(layer, kind).a != nullptr, changed);
    }
  }
}

TEST(AdapterWeightsTest, RanksAreTheTrueOnes) {
  const BaseSpec base = SmallBase(1, 32, 16, 48);
  const RandomAdapter adapter(
      base, {ShapeOf(base, 0, ModuleKind::kQ, 5), ShapeOf(base, 0, ModuleKind::kDown, 7)}, 1);
  EXPECT_EQ(adapter.weights->module(0, ModuleKind::kQ).rank, 5);
  EXPECT_EQ(adapter.weights->module(0, ModuleKind::kDown).rank, 7);
  EXPECT_EQ(adapter.weights->max_rank(), 7);
  EXPECT_EQ(adapter.weights->packed_bytes(), 4U * (5 * (32 + 32) + 7 * (48 + 32)));
}

TEST(AdapterWeightsTest, EveryMatrixIsAligned) {
  const BaseSpec base = SmallBase(2, 20, 4, 12);
  const auto shapes = EveryLayer(base, {kAllKinds, kAllKinds + kModuleKinds}, 3);
  const RandomAdapter adapter(base, shapes, 1);
  for (int32_t layer = 0; layer < 2; ++layer) {
    for (const ModuleKind kind : kAllKinds) {
      const auto& module = adapter.weights->module(layer, kind);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(module.a) % kArenaAlignment, 0U);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(module.b) % kArenaAlignment, 0U);
    }
  }
}

TEST(AdapterWeightsTest, SizeIsKnownFromShapesAlone) {
  const BaseSpec base = SmallBase(3, 20, 4, 12);
  const auto shapes = EveryLayer(base, {ModuleKind::kQ, ModuleKind::kDown}, 3);
  const RandomAdapter adapter(base, shapes, 1);
  const AdapterSize size = ComputeAdapterSize(shapes, 3, ReferenceKernels());
  EXPECT_EQ(adapter.weights->bytes(), size.resident_bytes);
  EXPECT_EQ(adapter.weights->packed_bytes(), size.packed_bytes);
}

TEST(AdapterWeightsTest, AlignmentCostsNothingAtRealWidths) {
  const BaseSpec base = RealBase();
  for (const auto type : {kernels::WeightType::kF32, kernels::WeightType::kBF16}) {
    for (const int32_t rank : {1, 3, 8}) {
      const auto shapes = EveryLayer(base, {kAllKinds, kAllKinds + kModuleKinds}, rank);
      const AdapterSize size = ComputeAdapterSize(shapes, 30, ReferenceKernels(type));
      const size_t tables = ComputeAdapterSize({}, 30, ReferenceKernels(type)).resident_bytes +
                            shapes.size() * sizeof(AdapterWeights::Module);
      EXPECT_EQ(size.resident_bytes, size.packed_bytes + tables);
    }
  }
}

TEST(AdapterWeightsTest, AlignmentCostsLessThanALinePerMatrix) {
  const BaseSpec base = SmallBase(3, 20, 4, 12);
  const auto shapes = EveryLayer(base, {kAllKinds, kAllKinds + kModuleKinds}, 3);
  const AdapterSize size = ComputeAdapterSize(shapes, 3, ReferenceKernels());
  const size_t tables = ComputeAdapterSize({}, 3, ReferenceKernels()).resident_bytes +
                        shapes.size() * sizeof(AdapterWeights::Module);
  EXPECT_LT(size.resident_bytes - tables - size.packed_bytes, 2 * shapes.size() * kArenaAlignment);
}

// Law 4, down to the smallest adapter: rank 1 on one projection, in two bytes per weight.
TEST(AdapterWeightsTest, ResidentBytesArePackedBytes) {
  const BaseSpec base = RealBase();
  const auto& kernels = ReferenceKernels(kernels::WeightType::kBF16);
  const std::vector<std::vector<ModuleKind>> targets = {
      {ModuleKind::kQ}, {ModuleKind::kQ, ModuleKind::kV}, {kAllKinds, kAllKinds + kModuleKinds}};
  for (const auto& kinds : targets) {
    for (const int32_t rank : {1, 2, 8, 64}) {
      const AdapterSize size = ComputeAdapterSize(EveryLayer(base, kinds, rank), 30, kernels);
      EXPECT_LE(static_cast<double>(size.resident_bytes),
                1.02 * static_cast<double>(size.packed_bytes))
          << kinds.size() << " kinds, rank " << rank;
    }
  }
}

}  // namespace
}  // namespace lamella
