#include "server/lora/adapter_loader.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "adapters_store/folder_adapter_store.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/time_slices.h"
#include "tests/lora/lora_fixtures.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella {
namespace {

using testing::PeftAdapter;
using testing::TempDir;

class AdapterLoaderTest : public ::testing::Test {
 protected:
  // Opens what was written so far.
  void OpenStore() {
    auto store = FolderAdapterStore::Open(dir_.path(), base_, {});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    loader_ = std::make_unique<StoreAdapterLoader>(store_.get(), &base_, &ReferenceKernels());
  }
  AdapterRef RefOf(const std::string& name) const {
    const auto version = store_->Resolve(kDefaultTenant, name, "");
    EXPECT_TRUE(version.ok()) << version.status();
    return {version->tenant, version->name, version->version};
  }

  BaseSpec base_ = SmallBase(2, 64, 32, 96);
  TempDir dir_;
  std::unique_ptr<FolderAdapterStore> store_;
  std::unique_ptr<StoreAdapterLoader> loader_;
};

TEST_F(AdapterLoaderTest, PacksWhatTheFilesSay) {
  const auto a = RandomFloats(3 * 64, 1);
  const auto b = RandomFloats(32 * 3, 2);
  const std::string path = ModulePath(1, ModuleKind::kV);
  PeftAdapter adapter;
  adapter.Config(R"({"peft_type":"LORA","r":3,"lora_alpha":6})");
  adapter.weights.Add(PeftAdapter::TensorName(path, "lora_A"), {3, 64}, a);
  adapter.weights.Add(PeftAdapter::TensorName(path, "lora_B"), {32, 3}, b);
  adapter.WriteTo(dir_, "mine");
  OpenStore();

  const AdapterRef ref = RefOf("mine");
  const auto weights = loader_->Load(ref);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->ref(), ref);
  EXPECT_EQ((*weights)->module(0, ModuleKind::kV).rank, 0);
  const auto& module = (*weights)->module(1, ModuleKind::kV);
  ASSERT_EQ(module.rank, 3);
  const auto* const packed_a = static_cast<const float*>(module.a);
  EXPECT_EQ(std::vector<float>(packed_a, packed_a + 3 * 64), a);
  // B is in tiles of 16 columns, the scale 6 / 3 inside.
  const auto* const packed_b = static_cast<const float*>(module.b);
  for (int n = 0; n < 32; ++n) {
    for (int r = 0; r < 3; ++r) {
      const float want = 2.0F * b[static_cast<size_t>(n * 3 + r)];
      EXPECT_EQ(packed_b[(n / 16 * 3 + r) * 16 + n % 16], want);
    }
  }
}

TEST_F(AdapterLoaderTest, ALoadIsWorkInPieces) {
  PeftAdapter adapter;
  for (const BaseModule& module : base_.modules) {
    adapter.Module(module.path, 8, module.in_features, module.out_features);
  }
  adapter.WriteTo(dir_, "mine");
  OpenStore();
  // Each piece is longer than this slice.
  size_t rests = 0;
  const TimeSlices::Options options{.slice = absl::Nanoseconds(1),
                                    .rest = [] { return absl::Seconds(1); },
                                    .sleep = [&](absl::Duration) { ++rests; }};
  const RealClock clock;
  const TimeSlices slices(&options, &clock);
  ASSERT_TRUE(loader_->Load(RefOf("mine")).ok());
  // Each module, and what was read.
  EXPECT_GT(rests, base_.modules.size());
}

TEST_F(AdapterLoaderTest, BytesAreKnownBeforeAFileIsRead) {
  PeftAdapter()
      .Module(ModulePath(0, ModuleKind::kQ), 8, 64, 64)
      .Module(ModulePath(1, ModuleKind::kDown), 8, 96, 64)
      .WriteTo(dir_, "mine");
  OpenStore();
  const AdapterRef ref = RefOf("mine");
  EXPECT_EQ(loader_->ResidentBytes(ref).value(), (*loader_->Load(ref))->bytes());
}

TEST_F(AdapterLoaderTest, BytesAreABoundAtOddWidths) {
  base_ = SmallBase(2, 20, 4, 12);
  PeftAdapter adapter;
  adapter.Config(R"({"peft_type":"LORA","r":3,"lora_alpha":6})");
  for (const ModuleKind kind : {ModuleKind::kQ, ModuleKind::kK, ModuleKind::kDown}) {
    const BaseModule& module = base_.module(0, kind);
    adapter.Module(module.path, 3, module.in_features, module.out_features);
  }
  adapter.WriteTo(dir_, "odd");
  OpenStore();
  const AdapterRef ref = RefOf("odd");
  EXPECT_GE(loader_->ResidentBytes(ref).value(), (*loader_->Load(ref))->bytes());
}

TEST_F(AdapterLoaderTest, AnUnknownVersionIsNotFound) {
  PeftAdapter().Module(ModulePath(0, ModuleKind::kQ), 8, 64, 64).WriteTo(dir_, "mine");
  OpenStore();
  const AdapterRef ghost{kDefaultTenant, "mine", std::string(64, '0')};
  EXPECT_EQ(loader_->Load(ghost).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(loader_->ResidentBytes(ghost).status()), reasons::kAdapterNotFound);
}

// The alias moved on and the name is gone, but the tenant still has the version under another name.
TEST_F(AdapterLoaderTest, AVersionIsFoundByItsDigest) {
  PeftAdapter().Module(ModulePath(0, ModuleKind::kQ), 8, 64, 64).WriteTo(dir_, "mine");
  OpenStore();
  AdapterRef ref = RefOf("mine");
  ref.name = "renamed-since";
  EXPECT_TRUE(loader_->ResidentBytes(ref).ok());
  const auto weights = loader_->Load(ref);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ((*weights)->ref(), ref);
  ref.tenant = "other";
  EXPECT_EQ(loader_->ResidentBytes(ref).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(loader_->Load(ref).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(AdapterLoaderTest, AFileThatChangedIsRefused) {
  PeftAdapter().Module(ModulePath(0, ModuleKind::kQ), 8, 64, 64).WriteTo(dir_, "mine");
  OpenStore();
  const AdapterRef ref = RefOf("mine");
  PeftAdapter().Module(ModulePath(0, ModuleKind::kQ), 8, 64, 64, 0.5F).WriteTo(dir_, "mine");
  const auto weights = loader_->Load(ref);
  EXPECT_EQ(weights.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ErrorReason(weights.status()), reasons::kDigestMismatch);
}

TEST_F(AdapterLoaderTest, WeightsMustBeFiniteOnceScaled) {
  PeftAdapter()
      .Config(R"({"peft_type":"LORA","r":1,"lora_alpha":3e38})")
      .Module(ModulePath(0, ModuleKind::kQ), 1, 64, 64, 0.01F, 100.0F)
      .WriteTo(dir_, "huge");
  OpenStore();
  const auto weights = loader_->Load(RefOf("huge"));
  EXPECT_EQ(weights.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(weights.status()), reasons::kNonFinite);
  EXPECT_EQ(ErrorField(weights.status()),
            "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
}

// A real adapter: packed in bf16 it takes half its fp32 file, and law 4's two per cent at most
// more.
TEST_F(AdapterLoaderTest, SamplesTakeWhatTheyMust) {
  base_ = SmallBase(30, 576, 192, 1536);
  const std::string samples = std::string(LAMELLA_SOURCE_DIR) + "/adapters_store/samples";
  auto store = FolderAdapterStore::Open(samples, base_, {});
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = *std::move(store);
  const StoreAdapterLoader loader(store_.get(), &base_,
                                  &ReferenceKernels(kernels::WeightType::kBF16));
  for (const char* name : {"smollm2-german", "smollm2-sentiment"}) {
    const auto version = store_->Resolve(kDefaultTenant, name, "");
    ASSERT_TRUE(version.ok()) << version.status();
    const AdapterRef ref{version->tenant, version->name, version->version};
    const auto weights = loader.Load(ref);
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_EQ((*weights)->packed_bytes(), static_cast<size_t>(version->parameters) * 2);
    EXPECT_EQ(loader.ResidentBytes(ref).value(), (*weights)->bytes());
    EXPECT_LE(static_cast<double>((*weights)->bytes()),
              1.02 * static_cast<double>((*weights)->packed_bytes()));
    RecordProperty(name, static_cast<int>((*weights)->bytes()));
  }
}

}  // namespace
}  // namespace lamella
