// WatchAdapters over a socket and a real store.
#include <thread>

#include "tests/api/admin_fixture.h"

namespace lamella {
namespace {

using ::testing::ElementsAre;
using Stub = v1::AdapterAdminService::Stub;

constexpr auto kSnapshot = v1::WATCH_EVENT_TYPE_SNAPSHOT;
constexpr auto kSnapshotEnd = v1::WATCH_EVENT_TYPE_SNAPSHOT_END;
constexpr auto kDeleted = v1::WATCH_EVENT_TYPE_DELETED;

// A watch that is read by hand.
class Watcher {
 public:
  Watcher(Stub* stub, const std::string& resume_token, const std::string& key = "") {
    if (!key.empty()) context_.AddMetadata("authorization", "Bearer " + key);
    v1::WatchAdaptersRequest request;
    request.set_resume_token(resume_token);
    reader_ = stub->WatchAdapters(&context_, request);
  }
  ~Watcher() {
    context_.TryCancel();
    if (!finished_) reader_->Finish();
  }

  // The next event; type UNSPECIFIED at the end of the stream.
  v1::WatchAdaptersResponse Next() {
    v1::WatchAdaptersResponse event;
    if (!reader_->Read(&event)) event.Clear();
    return event;
  }
  // Names up to SNAPSHOT_END, whose token is kept.
  std::vector<std::string> Snapshot() {
    std::vector<std::string> names;
    for (auto event = Next(); event.type() == kSnapshot; event = Next()) {
      names.push_back(event.name());
      EXPECT_EQ(event.resume_token(), "");
      last_ = event;
    }
    return names;
  }
  // Skips to the first event for which `wanted` holds.
  v1::WatchAdaptersResponse Await(
      const std::function<bool(const v1::WatchAdaptersResponse&)>& wanted) {
    auto event = Next();
    while (event.type() != v1::WATCH_EVENT_TYPE_UNSPECIFIED && !wanted(event)) event = Next();
    return event;
  }
  grpc::Status Finish() {
    finished_ = true;
    return reader_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchAdaptersResponse>> reader_;
  v1::WatchAdaptersResponse last_;
  bool finished_ = false;
};

class WatchTest : public AdminTest {
 protected:
  static std::string Adapter(const std::string& adapter) {
    return "tenants/default/adapters/" + adapter;
  }
  static std::string Version(const std::string& adapter, const std::string& version) {
    return Adapter(adapter) + "/versions/" + version;
  }
  void Delete(const std::string& adapter) {
    v1::DeleteAdapterRequest request;
    request.set_name("tenants/-/adapters/" + adapter);
    request.set_force(true);
    v1::DeleteAdapterResponse response;
    EXPECT_TRUE(Call(&Stub::DeleteAdapter, request, &response).ok());
  }
};

TEST_F(WatchTest, BeginsWithWhatThereIs) {
  const std::string anna = MustUpload("anna");
  const std::string ben = MustUpload("ben");
  Watcher watcher(stub_.get(), "");
  EXPECT_THAT(watcher.Snapshot(), ElementsAre(Adapter("anna"), Version("anna", anna),
                                              Adapter("ben"), Version("ben", ben)));
}

TEST_F(WatchTest, AnEmptySnapshotEndsAtOnce) {
  Watcher watcher(stub_.get(), "");
  const auto end = watcher.Next();
  EXPECT_EQ(end.type(), kSnapshotEnd);
  EXPECT_NE(end.resume_token(), "");
}

TEST_F(WatchTest, TellsOfUploadsChangesAndDeletions) {
  Watcher watcher(stub_.get(), "");
  EXPECT_EQ(watcher.Next().type(), kSnapshotEnd);
  const std::string version = MustUpload("mine");
  const auto created =
      watcher.Await([&](const auto& e) { return e.name() == Version("mine", version); });
  EXPECT_EQ(created.version().state(), v1::VERSION_STATE_READY);
  ASSERT_TRUE(store_->Quarantine("default", "mine", version, "why", {.name = "test"}).ok());
  const auto quarantined = watcher.Await(
      [&](const auto& e) { return e.version().state() == v1::VERSION_STATE_QUARANTINED; });
  EXPECT_EQ(quarantined.version().quarantine_reason(), "why");
  Delete("mine");
  const auto deleted = watcher.Await(
      [&](const auto& e) { return e.type() == kDeleted && e.name() == Adapter("mine"); });
  EXPECT_FALSE(deleted.has_adapter());
}

TEST_F(WatchTest, TellsOfResidency) {
  const std::string version = MustUpload("mine");
  Watcher watcher(stub_.get(), "");
  EXPECT_EQ(watcher.Snapshot().size(), 2U);
  const AdapterRef ref{"default", "mine", version};
  residency_.RequestLoad(ref, [] {});
  hub_->Publish({ChangeKind::kChanged, ref.tenant, ref.name, ref.version});
  EXPECT_EQ(watcher.Next().version().residency(), v1::RESIDENCY_HOST);
}

TEST_F(WatchTest, ResumesWithoutASnapshotAndWithoutALoss) {
  std::string token;
  {
    Watcher watcher(stub_.get(), "");
    token = watcher.Next().resume_token();
  }
  const std::string version = MustUpload("mine");
  Watcher resumed(stub_.get(), token);
  const auto first = resumed.Next();
  EXPECT_NE(first.type(), kSnapshot);
  EXPECT_NE(first.type(), kSnapshotEnd);
  if (first.name() != Version("mine", version)) {
    resumed.Await([&](const auto& e) { return e.name() == Version("mine", version); });
  }
}

TEST_F(WatchTest, UnknownTokensBeginAnew) {
  MustUpload("mine");
  for (const std::string token : {"x", "AAAA", "0"}) {
    Watcher watcher(stub_.get(), token);
    EXPECT_EQ(watcher.Snapshot().size(), 2U) << token;
  }
}

TEST_F(WatchTest, ATokenOfAnEarlierProcessBeginsAnew) {
  std::string token;
  {
    Watcher watcher(stub_.get(), "");
    token = watcher.Next().resume_token();
  }
  MustUpload("mine");
  StopServer();
  Start();
  Watcher watcher(stub_.get(), token);
  EXPECT_EQ(watcher.Snapshot().size(), 2U);
}

TEST_F(WatchTest, ATokenThatIsTooOldBeginsAnew) {
  StopServer();
  watch_capacity_ = 4;
  Start();
  std::string token;
  {
    Watcher watcher(stub_.get(), "");
    token = watcher.Next().resume_token();
  }
  const std::string version = MustUpload("mine");
  for (int i = 0; i < 10; ++i) {
    hub_->Publish({ChangeKind::kChanged, "default", "mine", version});
  }
  Watcher watcher(stub_.get(), token);
  EXPECT_EQ(watcher.Snapshot().size(), 2U);
}

TEST_F(WatchTest, WhoReadsTooSlowlyIsToldSo) {
  StopServer();
  watch_capacity_ = 4;
  Start();
  const std::string version = MustUpload("mine");
  Watcher watcher(stub_.get(), "");
  EXPECT_EQ(watcher.Snapshot().size(), 2U);
  // Nobody reads: the transport's windows fill up, then the ring passes.
  for (int i = 0; i < 50'000; ++i) {
    hub_->Publish({ChangeKind::kChanged, "default", "mine", version});
  }
  while (watcher.Next().type() != v1::WATCH_EVENT_TYPE_UNSPECIFIED) continue;
  ExpectError(watcher.Finish(), grpc::StatusCode::RESOURCE_EXHAUSTED, "SLOW_READER", "");
}

TEST_F(WatchTest, EachTenantSeesItsOwn) {
  UseCredentials();
  Watcher ben(stub_.get(), "", "ben");
  EXPECT_EQ(ben.Next().type(), kSnapshotEnd);
  MustUpload("annas", 0.01F, "anna");
  const std::string version = MustUpload("bens", 0.01F, "ben");
  for (auto event = ben.Next();; event = ben.Next()) {
    ASSERT_EQ(event.name().find("annas"), std::string::npos);
    if (event.name() == "tenants/ben/adapters/bens/versions/" + version) break;
  }
}

TEST_F(WatchTest, AClosedHubEndsEveryWatch) {
  Watcher watcher(stub_.get(), "");
  EXPECT_EQ(watcher.Next().type(), kSnapshotEnd);
  hub_->Close();
  EXPECT_EQ(watcher.Next().type(), v1::WATCH_EVENT_TYPE_UNSPECIFIED);
  ExpectError(watcher.Finish(), grpc::StatusCode::UNAVAILABLE, "DRAINING", "");
  server_->Shutdown(absl::InfiniteDuration());
}

TEST_F(WatchTest, WatchersThatLeaveDisturbNobody) {
  const std::string version = MustUpload("mine");
  std::atomic<bool> stop = false;
  std::thread publisher([&] {
    while (!stop) hub_->Publish({ChangeKind::kChanged, "default", "mine", version});
  });
  for (int i = 0; i < 50; ++i) {
    Watcher watcher(stub_.get(), "");
    EXPECT_EQ(watcher.Next().type(), kSnapshot);
  }
  stop = true;
  publisher.join();
}

}  // namespace
}  // namespace lamella
