// A process that dies at a named point of a change leaves the whole change or nothing of it.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "common/base/fail_point.h"
#include "tests/adapters_store/store_fixture.h"

namespace lamella {
namespace {

using testing::HeaderFor;
using testing::IsOk;
using testing::SmallAdapter;
using testing::UploadTo;

const char* g_die_at = nullptr;

void DieThere(const char* name) {
  if (std::strcmp(name, g_die_at) == 0) kill(getpid(), SIGKILL);
}

class StoreFailPointsTest : public testing::StoreTest {
 protected:
  // Runs `change` in a child on the store's folder; true if SIGKILL ended it.
  template <typename Change>
  bool DiesAt(const char* point, Change change) {
    store_ = nullptr;
    g_die_at = point;
    const pid_t child = fork();
    if (child == 0) {
      SetFailPointHandler(DieThere);
      auto store = DurableAdapterStore::Open(options_, base_, &clock_);
      if (store.ok()) change(store->get());
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    OpenStore();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  void Upload(DurableAdapterStore* store) const {
    const auto adapter = SmallAdapter();
    (void)UploadTo(store, HeaderFor(adapter, "acme", "tone"), adapter);
  }
};

TEST_F(StoreFailPointsTest, BeforeTheCommitNothingIsVisible) {
  for (const char* point : {"store.blob.sealed", "store.blob.before_rename", "store.blob.renamed",
                            "store.upload.published", "store.catalogue.before_commit"}) {
    EXPECT_TRUE(DiesAt(point, [&](DurableAdapterStore* store) { Upload(store); })) << point;
    EXPECT_TRUE(store_->ListAdapters("acme", "", 10).empty()) << point;
    EXPECT_EQ(Files("tmp"), 0U) << point;
  }
  ASSERT_TRUE(IsOk(store_->CollectGarbage()));
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(*store_->CollectGarbage(), SmallAdapter().weights.Bytes().size());
  ExpectNothingLeft();
}

TEST_F(StoreFailPointsTest, AfterTheCommitTheVersionIsWhole) {
  EXPECT_TRUE(DiesAt("store.catalogue.committed", [&](DurableAdapterStore* s) { Upload(s); }));
  const auto live = store_->Resolve("acme", "tone", "");
  ASSERT_TRUE(IsOk(live));
  EXPECT_TRUE(IsOk(store_->Open(*live)));
}

TEST_F(StoreFailPointsTest, AnInterruptedCollectionGoesOn) {
  Put(0.5F);
  ASSERT_TRUE(IsOk(store_->DeleteAdapter("acme", "tone", "", true, actor_)));
  clock_.Advance(absl::Hours(1));
  EXPECT_TRUE(DiesAt("store.garbage.deleted",
                     [](DurableAdapterStore* store) { (void)store->CollectGarbage(); }));
  EXPECT_TRUE(IsOk(store_->CollectGarbage()));
  EXPECT_EQ(Files("blobs"), 0U);
}

}  // namespace
}  // namespace lamella
