#include "server/lora/store_catalogue.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "adapters_store/folder_adapter_store.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "tests/lora/lora_fixtures.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella {
namespace {

using testing::PeftAdapter;
using testing::TempDir;

// One good adapter and one that binds to nothing.
class StoreCatalogueTest : public ::testing::Test {
 protected:
  StoreCatalogueTest() {
    PeftAdapter().Module(ModulePath(0, ModuleKind::kQ), 8, 32, 32).WriteTo(dir_, "good");
    PeftAdapter().Module("model.layers.9.self_attn.q_proj", 8, 32, 32).WriteTo(dir_, "refused");
    store_ = *FolderAdapterStore::Open(dir_.path(), base_, {});
    loader_ = std::make_unique<StoreAdapterLoader>(store_.get(), &base_, &ReferenceKernels());
    AdapterManagerOptions options;
    options.loader_threads = 0;
    manager_ = *AdapterManager::Create(options, loader_.get(), &clock_);
    catalogue_ = std::make_unique<StoreCatalogue>(store_.get(), manager_.get());
  }

  const BaseSpec base_ = SmallBase(1, 32, 32, 32);
  FakeClock clock_;
  TempDir dir_;
  std::unique_ptr<FolderAdapterStore> store_;
  std::unique_ptr<StoreAdapterLoader> loader_;
  std::unique_ptr<AdapterManager> manager_;
  std::unique_ptr<StoreCatalogue> catalogue_;
};

TEST_F(StoreCatalogueTest, TheEmptyIdIsTheBase) {
  EXPECT_EQ(catalogue_->Resolve(kDefaultTenant, "", "").value(), AdapterRef());
}

TEST_F(StoreCatalogueTest, NamesResolveToVersions) {
  const auto ref = catalogue_->Resolve(kDefaultTenant, "good", "");
  ASSERT_TRUE(ref.ok()) << ref.status();
  EXPECT_EQ(ref->tenant, kDefaultTenant);
  EXPECT_EQ(ref->name, "good");
  EXPECT_EQ(ref->version.size(), 64U);
  EXPECT_EQ(catalogue_->Resolve(kDefaultTenant, "good@live", "").value(), *ref);
  const std::string by_version = "good@sha256:" + ref->version.substr(0, 12);
  EXPECT_EQ(catalogue_->Resolve(kDefaultTenant, by_version, "").value(), *ref);
}

TEST_F(StoreCatalogueTest, UnknownAndForeignGetOneAnswer) {
  const auto unknown = catalogue_->Resolve(kDefaultTenant, "ghost", "").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(unknown), reasons::kAdapterNotFound);
  EXPECT_EQ(catalogue_->Resolve("other", "ghost", "").status(), unknown);
  EXPECT_EQ(catalogue_->Resolve("other", "good", "").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(StoreCatalogueTest, ARefusedAdapterSaysWhy) {
  const auto refused = catalogue_->Resolve(kDefaultTenant, "refused", "").status();
  EXPECT_EQ(ErrorReason(refused), reasons::kNoModuleBound);
}

TEST_F(StoreCatalogueTest, ListsWhatCanBeUsedAndWhereItIs) {
  auto usable = catalogue_->ListUsable(kDefaultTenant);
  ASSERT_EQ(usable.size(), 1U);
  EXPECT_EQ(usable[0].ref.name, "good");
  EXPECT_EQ(usable[0].alias, "live");
  EXPECT_EQ(usable[0].max_rank, 8);
  EXPECT_EQ(usable[0].residency, Residency::kDisk);

  manager_->RequestLoad(usable[0].ref, [] {});
  EXPECT_TRUE(manager_->Step());
  usable = catalogue_->ListUsable(kDefaultTenant);
  EXPECT_EQ(usable[0].residency, Residency::kHost);
  EXPECT_TRUE(catalogue_->ListUsable("other").empty());
}

}  // namespace
}  // namespace lamella
