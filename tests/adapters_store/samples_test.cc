// The adapters that ship with the project, trained with PEFT, against the bases they belong to.
#include <memory>
#include <string>
#include <vector>

#include "adapters_store/folder_adapter_store.h"
#include "common/base/reasons.h"
#include "gtest/gtest.h"
#include "tests/testing/base_specs.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsOk;

constexpr char kSamples[] = LAMELLA_SOURCE_DIR "/adapters_store/samples";

struct Expected {
  std::string name;
  int32_t rank;
  int32_t modules;
  float scale;
};

void ExpectUsable(const FolderAdapterStore& store, const Expected& expected) {
  const auto version = store.Resolve(kDefaultTenant, expected.name, "");
  ASSERT_TRUE(IsOk(version));
  EXPECT_EQ(version->max_rank, expected.rank);
  EXPECT_EQ(version->modules, expected.modules);
  const auto files = store.Open(*version);
  ASSERT_TRUE(IsOk(files));
  for (const BoundModule& module : files->validated.modules) {
    EXPECT_EQ(module.scale, expected.scale);
  }
}

TEST(SamplesTest, SmolLm2AdaptersFitSmolLm2Alone) {
  const auto store = FolderAdapterStore::Open(kSamples, testing::SmolLm2Spec(), {});
  ASSERT_TRUE(IsOk(store));
  ExpectUsable(**store, {"smollm2-sentiment", 8, 60, 2.0F});
  ExpectUsable(**store, {"smollm2-german", 16, 210, 4.0F});
  for (const char* foreign : {"gemma-sentiment", "gemma-german"}) {
    const auto version = (*store)->Resolve(kDefaultTenant, foreign, "");
    EXPECT_EQ(version.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorReason(version.status()), reasons::kShapeMismatch);
  }
}

TEST(SamplesTest, GemmaAdaptersFitGemmaAlone) {
  const auto store = FolderAdapterStore::Open(kSamples, testing::Gemma270mSpec(), {});
  ASSERT_TRUE(IsOk(store));
  ExpectUsable(**store, {"gemma-sentiment", 8, 36, 2.0F});
  ExpectUsable(**store, {"gemma-german", 16, 126, 4.0F});
  for (const char* foreign : {"smollm2-sentiment", "smollm2-german"}) {
    const auto version = (*store)->Resolve(kDefaultTenant, foreign, "");
    EXPECT_EQ(ErrorReason(version.status()), reasons::kUnknownTensor);  // 30 layers against 18
  }
}

}  // namespace
}  // namespace lamella
