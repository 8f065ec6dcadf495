// What becomes of blobs: garbage, decay, loss.
#include <filesystem>
#include <fstream>

#include "adapters_store/durable_adapter_store.h"
#include "common/base/reasons.h"
#include "tests/adapters_store/store_fixture.h"
#include "tests/testing/no_descriptors.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsOk;
using testing::SmallAdapter;
using Code = absl::StatusCode;

class DurableStoreUpkeepTest : public testing::StoreTest {
 protected:
  absl::StatusOr<StoredVersion> Resolve(const std::string& id) const {
    return store_->Resolve("acme", id, "");
  }
};

TEST_F(DurableStoreUpkeepTest, GarbageGoesAfterTheGraceTimeOnly) {
  const std::string a = Put(0.5F);
  Put(0.25F);
  ASSERT_TRUE(IsOk(store_->DeleteVersion("acme", "tone", a, "", true, actor_)));
  EXPECT_EQ(*store_->CollectGarbage(), 0U);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(*store_->CollectGarbage(), SmallAdapter().weights.Bytes().size());
  EXPECT_EQ(Files("blobs"), 1U);
  EXPECT_TRUE(IsOk(store_->Open(*Resolve("tone"))));
}

TEST_F(DurableStoreUpkeepTest, BlobsThatNoRowKnowsAreGarbage) {
  Put(0.5F);
  dir_.Write("store/blobs/61636d65/aa/" + std::string(64, 'a'), "left by a crash");
  EXPECT_EQ(*store_->CollectGarbage(), 0U);
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(*store_->CollectGarbage(), 15U);
  EXPECT_EQ(Files("blobs"), 1U);
}

TEST_F(DurableStoreUpkeepTest, ACorruptedBlobIsDataLossAndAnUploadMendsIt) {
  const std::string version = Put(0.5F);
  OpenStore();
  const StoredVersion stored = *Resolve("tone");
  std::fstream(FilesOf("blobs").at(0), std::ios::in | std::ios::out)
      .seekp(-1, std::ios::end)
      .put(1);
  EXPECT_TRUE(
      IsError(store_->Open(stored), Code::kDataLoss, reasons::kDigestMismatch, "adapter_id"));
  EXPECT_TRUE(IsError(Resolve("tone"), Code::kFailedPrecondition, reasons::kVersionQuarantined,
                      "adapter_id"));
  EXPECT_TRUE(IsError(store_->Release("acme", "tone", version, actor_), Code::kDataLoss,
                      reasons::kDigestMismatch, "adapter_id"));
  OpenStore();
  EXPECT_FALSE(Resolve("tone").ok());
  Put(0.5F);
  EXPECT_TRUE(IsOk(store_->Open(*Resolve("tone"))));
}

TEST_F(DurableStoreUpkeepTest, LaterOpensSeeAChangedFileToo) {
  Put(0.5F);
  const StoredVersion stored = *Resolve("tone");
  ASSERT_TRUE(IsOk(store_->Open(stored)));
  ASSERT_TRUE(IsOk(store_->Open(stored)));
  std::fstream(FilesOf("blobs").at(0), std::ios::in | std::ios::out)
      .seekp(-1, std::ios::end)
      .put(1);
  EXPECT_TRUE(
      IsError(store_->Open(stored), Code::kDataLoss, reasons::kDigestMismatch, "adapter_id"));
}

TEST_F(DurableStoreUpkeepTest, MissingAndShortBlobsAreQuarantinedAtStart) {
  Put(0.5F, "gone");
  const std::string gone = FilesOf("blobs").at(0);
  std::filesystem::remove(gone);
  Put(0.25F, "short");
  std::filesystem::resize_file(FilesOf("blobs").at(0), 10);
  Put(0.125F, "good");
  dir_.Write("store/tmp/7", "left by a crash");
  OpenStore();
  EXPECT_EQ(Files("tmp"), 0U);
  EXPECT_EQ(store_->ListVersions("acme", "gone", "", 1)->at(0).quarantine_reason, "MISSING_FILE");
  EXPECT_EQ(store_->ListVersions("acme", "short", "", 1)->at(0).quarantine_reason,
            "DIGEST_MISMATCH");
  EXPECT_TRUE(IsOk(Resolve("good")));
}

TEST_F(DurableStoreUpkeepTest, ABlobThatCannotBeReadJustNowIsNotQuarantined) {
  Put(0.5F);
  const StoredVersion stored = *Resolve("tone");
  {
    const testing::NoDescriptors none;
    EXPECT_TRUE(IsError(store_->Open(stored), Code::kUnavailable, reasons::kInternal));
    EXPECT_TRUE(IsError(store_->ScrubOne(), Code::kUnavailable, reasons::kInternal));
  }
  EXPECT_TRUE(IsOk(Resolve("tone")));
  EXPECT_TRUE(IsOk(store_->Open(stored)));
  EXPECT_TRUE(*store_->ScrubOne());
  EXPECT_EQ(store_->ListVersions("acme", "tone", "", 1)->at(0).state, VersionState::kReady);
}

TEST_F(DurableStoreUpkeepTest, AStartThatCannotLookAtItsBlobsQuarantinesNothing) {
  Put(0.5F);
  const std::filesystem::path shard = std::filesystem::path(FilesOf("blobs").at(0)).parent_path();
  std::filesystem::rename(shard, dir_.path() + "/aside");
  std::filesystem::create_symlink(shard.filename(), shard);  // leads to itself
  store_ = nullptr;
  EXPECT_TRUE(IsError(DurableAdapterStore::Open(options_, base_, &clock_), Code::kUnavailable,
                      reasons::kInternal));
  std::filesystem::remove(shard);
  std::filesystem::rename(dir_.path() + "/aside", shard);
  OpenStore();
  EXPECT_TRUE(IsOk(store_->Open(*Resolve("tone"))));
}

TEST_F(DurableStoreUpkeepTest, TheScrubFindsTheBadBlob) {
  EXPECT_FALSE(*store_->ScrubOne());
  Put(0.5F, "first");
  Put(0.25F, "second");
  for (const std::string& file : FilesOf("blobs")) {
    std::fstream(file, std::ios::in | std::ios::out).seekp(-1, std::ios::end).put(1);
  }
  EXPECT_TRUE(*store_->ScrubOne());
  EXPECT_FALSE(Resolve("first").ok()) << "verified longest ago";
  EXPECT_TRUE(IsOk(Resolve("second")));
  EXPECT_TRUE(*store_->ScrubOne());
  EXPECT_FALSE(Resolve("second").ok());
  EXPECT_FALSE(*store_->ScrubOne());
}

}  // namespace
}  // namespace lamella
