#include "adapters_store/durable_adapter_store.h"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <thread>

#include "absl/time/clock.h"
#include "adapters_store/adapter_id.h"
#include "adapters_store/sqlite.h"
#include "common/base/reasons.h"
#include "tests/adapters_store/store_fixture.h"

namespace lamella {
namespace {

using testing::HeaderFor;
using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;
using testing::PeftAdapter;
using testing::SmallAdapter;
using testing::UploadTo;
using Code = absl::StatusCode;

class DurableAdapterStoreTest : public testing::StoreTest {
 protected:
  absl::StatusOr<StoredVersion> Resolve(const std::string& id, const std::string& key = "") const {
    return store_->Resolve("acme", id, key);
  }
};

TEST_F(DurableAdapterStoreTest, UploadsSurviveAReopen) {
  const std::string version = Put(0.75F);
  OpenStore();
  const auto live = Resolve("tone");
  ASSERT_TRUE(IsOk(live));
  EXPECT_EQ(live->version, version);
  EXPECT_EQ(live->max_rank, 2);
  EXPECT_EQ(live->parameters, 32);
  const auto files = store_->Open(*live);
  ASSERT_TRUE(IsOk(files));
  std::vector<float> a(16);
  ASSERT_TRUE(IsOk(ReadAsFloat(*files->validated.modules.at(0).a, 0, 2, a.data())));
  EXPECT_EQ(a, std::vector<float>(16, 0.75F));
  EXPECT_EQ(files->validated.modules[0].scale, 2.0F);
}

TEST_F(DurableAdapterStoreTest, ARepeatedUploadIsTheSameVersion) {
  const auto first = Upload(SmallAdapter()), second = Upload(SmallAdapter());
  ASSERT_TRUE(IsOk(first));
  ASSERT_TRUE(IsOk(second));
  EXPECT_TRUE(first->created);
  EXPECT_FALSE(second->created);
  EXPECT_EQ(first->version.version.version, second->version.version.version);
  EXPECT_EQ(Files("blobs"), 1U);
  EXPECT_EQ(store_->GetAdapter("acme", "tone")->versions, 1);
}

TEST_F(DurableAdapterStoreTest, TenantsShareNoBytesAndSeeNothingOfEachOther) {
  const std::string mine = Put(0.5F, "tone", "acme"), theirs = Put(0.5F, "tone", "other");
  EXPECT_EQ(mine, theirs);
  EXPECT_EQ(Files("blobs"), 2U);
  ASSERT_TRUE(IsOk(store_->EraseTenant("acme", actor_)));
  EXPECT_EQ(Files("blobs"), 1U);
  EXPECT_EQ(Resolve("tone").status(), AdapterNotFound("tone"));
  EXPECT_TRUE(IsOk(store_->Resolve("other", "tone", "")));
  const auto audit = store_->AuditLog("acme", 10);
  ASSERT_TRUE(IsOk(audit));
  ASSERT_EQ(audit->size(), 1U);
  EXPECT_EQ(audit->front().action, "erase-tenant");
  EXPECT_EQ(audit->front().actor, "tester");
  OpenStore();
  EXPECT_EQ(store_->Tenants(), std::vector<std::string>{"other"});
}

TEST_F(DurableAdapterStoreTest, OneRequestIdIsOneUpload) {
  actor_.request_id = "r1";
  const auto first = Upload(SmallAdapter(0.5F));
  actor_.request_id = "r2";
  const std::string second = Put(0.25F);
  OpenStore();
  actor_.request_id = "r1";
  const auto retry = Upload(SmallAdapter(0.5F));
  ASSERT_TRUE(IsOk(retry));
  EXPECT_TRUE(retry->created);
  EXPECT_EQ(retry->version.version.version, first->version.version.version);
  EXPECT_EQ(Resolve("tone")->version, second) << "a retry must not switch the alias back";
  EXPECT_TRUE(IsInvalid(Upload(SmallAdapter(0.125F)), reasons::kRequestIdReused, "request_id"));
  EXPECT_EQ(Files("blobs"), 2U);
  EXPECT_EQ(Files("tmp"), 0U);
}

TEST_F(DurableAdapterStoreTest, AliasesSplitTrafficByAStableKey) {
  const std::string a = Put(0.5F), b = Put(0.25F);
  ASSERT_TRUE(IsOk(store_->SetAlias("acme", "tone", {"live", {{a, 900}, {b, 100}}}, "", actor_)));
  std::map<std::string, int> hits;
  for (int i = 0; i < 10'000; ++i) ++hits[Resolve("tone", std::to_string(i))->version];
  EXPECT_NEAR(hits[b], 1000, 150);
  EXPECT_EQ(hits[a] + hits[b], 10'000);
  const std::string before = Resolve("tone", "request-7")->version;
  OpenStore();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Resolve("tone", "request-7")->version, before);
}

TEST_F(DurableAdapterStoreTest, EtagsGuardChanges) {
  const std::string a = Put(0.5F), b = Put(0.25F);
  const std::string etag = store_->GetAdapter("acme", "tone")->etag;
  const auto changed = store_->SetAlias("acme", "tone", {"live", {{a, 1}}}, etag, actor_);
  ASSERT_TRUE(IsOk(changed));
  EXPECT_NE(changed->etag, etag);
  EXPECT_EQ(Resolve("tone")->version, a);
  EXPECT_TRUE(IsError(store_->SetAlias("acme", "tone", {"live", {{b, 1}}}, etag, actor_),
                      Code::kAborted, reasons::kEtagMismatch, "etag"));
  EXPECT_TRUE(IsError(store_->DeleteAdapter("acme", "tone", etag, true, actor_), Code::kAborted,
                      reasons::kEtagMismatch, "etag"));
  EXPECT_EQ(Resolve("tone")->version, a);
  ASSERT_TRUE(IsOk(store_->DeleteAdapter("acme", "tone", changed->etag, true, actor_)));
  Put(0.5F);
  EXPECT_NE(store_->GetAdapter("acme", "tone")->etag, changed->etag) << "etags never come back";
}

TEST_F(DurableAdapterStoreTest, WhatAliasesPointToIsDeletedByForceOnly) {
  const std::string a = Put(0.5F), b = Put(0.25F);
  ASSERT_TRUE(IsOk(store_->SetAlias("acme", "tone", {"live", {{a, 1}, {b, 1}}}, "", actor_)));
  EXPECT_TRUE(IsError(store_->DeleteVersion("acme", "tone", a, "", false, actor_),
                      Code::kFailedPrecondition, reasons::kVersionInUse, "force"));
  EXPECT_TRUE(IsError(store_->DeleteAdapter("acme", "tone", "", false, actor_),
                      Code::kFailedPrecondition, reasons::kVersionInUse, "force"));
  ASSERT_TRUE(IsOk(store_->DeleteVersion("acme", "tone", a, "", true, actor_)));
  OpenStore();
  EXPECT_EQ(store_->GetAdapter("acme", "tone")->aliases,
            (std::vector<AliasInfo>{{"live", {{b, 1}}}}));
  ASSERT_TRUE(IsOk(store_->DeleteVersion("acme", "tone", b, "", true, actor_)));
  EXPECT_EQ(Resolve("tone").status(), AdapterNotFound("tone"));
  EXPECT_EQ(store_->DeleteVersion("acme", "tone", b, "", true, actor_), AdapterNotFound("tone"));
}

TEST_F(DurableAdapterStoreTest, QuarantineEndsWithRelease) {
  const std::string version = Put(0.5F);
  ASSERT_TRUE(IsOk(store_->Quarantine("acme", "tone", version, "numeric faults", actor_)));
  EXPECT_TRUE(IsError(Resolve("tone"), Code::kFailedPrecondition, reasons::kVersionQuarantined,
                      "adapter_id", "numeric faults"));
  Put(0.5F);
  EXPECT_FALSE(Resolve("tone").ok()) << "an upload ends no quarantine by a person";
  ASSERT_TRUE(IsOk(store_->Release("acme", "tone", version, actor_)));
  EXPECT_TRUE(IsOk(Resolve("tone")));
}

TEST_F(DurableAdapterStoreTest, PinsAreRemembered) {
  const std::string version = Put(0.5F);
  ASSERT_TRUE(IsOk(store_->SetPinned("acme", "tone", version, true, actor_)));
  OpenStore();
  ASSERT_EQ(store_->PinnedVersions().size(), 1U);
  EXPECT_EQ(store_->PinnedVersions()[0].version.version, version);
  ASSERT_TRUE(IsOk(store_->SetPinned("acme", "tone", version, false, actor_)));
  EXPECT_TRUE(store_->PinnedVersions().empty());
}

TEST_F(DurableAdapterStoreTest, AChangeOfBaseListsWhatNoLongerFitsAndLosesNothing) {
  Put(0.5F);
  const BaseSpec old = base_;
  base_.fingerprint = std::string(64, 'e');
  OpenStore();
  EXPECT_TRUE(
      IsError(Resolve("tone"), Code::kFailedPrecondition, reasons::kWrongBase, "adapter_id"));
  ASSERT_EQ(store_->MisfitVersions().size(), 1U);
  EXPECT_FALSE(store_->MisfitVersions()[0].fits_base);
  UploadHeader header = HeaderFor(SmallAdapter(), "acme", "tone");
  header.base_fingerprint = old.fingerprint;
  EXPECT_TRUE(IsError(UploadTo(store_.get(), header, SmallAdapter()), Code::kFailedPrecondition,
                      reasons::kWrongBase, "base_fingerprint"));
  header.allow_other_base = true;
  const auto taken = UploadTo(store_.get(), header, SmallAdapter());
  ASSERT_TRUE(IsOk(taken));
  EXPECT_TRUE(taken->version.fits_base);
  EXPECT_EQ(taken->version.base_fingerprint, old.fingerprint);
  EXPECT_TRUE(IsOk(Resolve("tone")));
}

TEST_F(DurableAdapterStoreTest, QuotasRefuseBeforeAByteIsSent) {
  options_.max_tenant_versions = 1;
  options_.max_bytes = 3 * SmallAdapter().weights.Bytes().size();
  OpenStore();
  Put(0.5F, "tone", "acme");
  EXPECT_TRUE(
      IsError(Upload(SmallAdapter(0.25F)), Code::kResourceExhausted, reasons::kQuotaExceeded, ""));
  const UploadHeader header = HeaderFor(SmallAdapter(), "other", "tone");
  auto first = store_->BeginUpload(header, actor_), second = store_->BeginUpload(header, actor_);
  ASSERT_TRUE(IsOk(first));
  ASSERT_TRUE(IsOk(second));
  EXPECT_TRUE(IsError(store_->BeginUpload(header, actor_), Code::kResourceExhausted,
                      reasons::kStoreFull, ""));
  first->reset();
  EXPECT_TRUE(IsOk(store_->BeginUpload(header, actor_)));
}

TEST_F(DurableAdapterStoreTest, ATenantsOwnLimitsAreTheSmallerOnes) {
  OpenStore();
  Put(0.5F, "tone", "acme");
  UploadHeader header = HeaderFor(SmallAdapter(0.25F), "acme", "other");
  header.max_tenant_versions = 1;
  const auto many = store_->BeginUpload(header, actor_);
  EXPECT_TRUE(IsError(many, Code::kResourceExhausted, reasons::kQuotaExceeded, "", "1 versions"));
  header.max_tenant_versions = 2;
  header.max_tenant_bytes = 2 * header.weights_bytes - 1;
  EXPECT_TRUE(IsError(store_->BeginUpload(header, actor_), Code::kResourceExhausted,
                      reasons::kQuotaExceeded, ""));
  header.max_tenant_bytes = 2 * header.weights_bytes;
  EXPECT_TRUE(IsOk(store_->BeginUpload(header, actor_)));
}

TEST_F(DurableAdapterStoreTest, UsageIsWhatIsKeptAndWhatIsComing) {
  OpenStore();
  EXPECT_EQ(store_->UsageOfAll().versions, 0);
  Put(0.5F, "tone", "acme");
  Put(0.25F, "tone", "acme");
  Put(0.5F, "tone", "other");
  const uint64_t bytes = SmallAdapter().weights.Bytes().size();
  {
    const auto coming = store_->BeginUpload(HeaderFor(SmallAdapter(0.75F), "acme", "tone"), actor_);
    ASSERT_TRUE(IsOk(coming));
    EXPECT_EQ(store_->UsageOf("acme").uploading_bytes, bytes);
  }
  const StoreUsage acme = store_->UsageOf("acme");
  EXPECT_EQ(acme.uploading_bytes, 0U);
  EXPECT_EQ(acme.weights_bytes, 2 * bytes);
  EXPECT_EQ(acme.versions, 2);
  EXPECT_EQ(acme.adapters, 1);
  EXPECT_EQ(store_->UsageOf("nobody").versions, 0);
  OpenStore();
  const StoreUsage all = store_->UsageOfAll();
  EXPECT_EQ(all.weights_bytes, 3 * bytes);
  EXPECT_EQ(all.versions, 3);
  EXPECT_EQ(all.adapters, 2);
}

TEST_F(DurableAdapterStoreTest, EveryChangeAndRefusalIsAudited) {
  const std::string a = Put(0.5F);
  EXPECT_FALSE(store_->DeleteAdapter("acme", "tone", "", false, actor_).ok());
  ASSERT_TRUE(IsOk(store_->SetAlias("acme", "tone", {"canary", {{a, 1}}}, "", actor_)));
  OpenStore();
  const auto log = store_->AuditLog("acme", 10);
  ASSERT_TRUE(IsOk(log));
  std::vector<std::string> lines;
  for (const AuditEntry& e : *log) lines.push_back(e.actor + " " + e.action + " " + e.result);
  std::ranges::sort(lines);
  EXPECT_EQ(lines, (std::vector<std::string>{"tester delete-adapter VERSION_IN_USE",
                                             "tester set-alias OK", "tester upload OK"}));
  EXPECT_EQ(store_->AuditLog("acme", 1)->size(), 1U);
  EXPECT_TRUE(store_->AuditLog("other", 10)->empty());
}

TEST_F(DurableAdapterStoreTest, ListenersHearOfEachCommittedChange) {
  std::vector<std::string> heard;
  store_->SetChangeListener([&](const StoreChange& c) {
    heard.push_back(std::to_string(static_cast<int>(c.kind)) + (c.version.empty() ? "a" : "v"));
  });
  const std::string a = Put(0.5F);
  ASSERT_TRUE(IsOk(store_->SetPinned("acme", "tone", a, true, actor_)));
  EXPECT_FALSE(Upload(PeftAdapter()).ok());
  ASSERT_TRUE(IsOk(store_->DeleteAdapter("acme", "tone", "", true, actor_)));
  EXPECT_EQ(heard, (std::vector<std::string>{"0v", "0a", "1v", "1a", "2v", "2a"}));
}

TEST_F(DurableAdapterStoreTest, ASecondStoreOnTheFolderIsRefused) {
  EXPECT_TRUE(IsError(DurableAdapterStore::Open(options_, base_, &clock_),
                      Code::kFailedPrecondition, reasons::kStoreLocked, "store_dir"));
}

TEST_F(DurableAdapterStoreTest, ANewerSchemaIsRefusedAndLeftAlone) {
  store_ = nullptr;
  {
    auto db = SqliteDatabase::Open(Dir() + "/catalogue.sqlite", false, "");
    ASSERT_TRUE(IsOk(db));
    ASSERT_TRUE(IsOk(db->Execute("PRAGMA user_version=99")));
  }
  EXPECT_TRUE(IsError(DurableAdapterStore::Open(options_, base_, &clock_),
                      Code::kFailedPrecondition, reasons::kStoreTooNew));
}

TEST_F(DurableAdapterStoreTest, ACatalogueThatIsNoneIsDataLoss) {
  store_ = nullptr;
  for (const char* file : {"-wal", "-shm"}) {
    std::filesystem::remove(Dir() + "/catalogue.sqlite" + file);
  }
  dir_.Write("store/catalogue.sqlite", std::string(8192, 'x'));
  EXPECT_TRUE(IsError(DurableAdapterStore::Open(options_, base_, &clock_), Code::kDataLoss,
                      reasons::kStoreCorrupt));
}

TEST_F(DurableAdapterStoreTest, ABackupOfAStoreInUseIsAStore) {
  const std::string a = Put(0.5F);
  ASSERT_TRUE(IsOk(BackupStore(Dir(), dir_.path() + "/copy")));
  EXPECT_TRUE(IsError(BackupStore(Dir(), dir_.path() + "/copy"), Code::kFailedPrecondition,
                      reasons::kStoreUnwritable, "dir"));
  Put(0.25F);
  const auto copy = DurableAdapterStore::OpenExisting({.dir = dir_.path() + "/copy"}, &clock_);
  ASSERT_TRUE(IsOk(copy));
  const auto live = (*copy)->Resolve("acme", "tone", "");
  ASSERT_TRUE(IsOk(live));
  EXPECT_EQ(live->version, a);
  EXPECT_TRUE(IsOk((*copy)->Open(*live)));
}

TEST_F(DurableAdapterStoreTest, ExportGivesTheOriginalFiles) {
  const PeftAdapter adapter = SmallAdapter();
  const std::string version = Put(0.5F);
  const auto exported = store_->Export("acme", "tone", version);
  ASSERT_TRUE(IsOk(exported));
  EXPECT_EQ(exported->config_json, adapter.config_json);
  const auto bytes = exported->weights->bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
            adapter.weights.Bytes());
}

TEST_F(DurableAdapterStoreTest, VersionsAreListedNewestFirstByPage) {
  const std::string a = Put(0.5F), b = Put(0.25F), c = Put(0.125F);
  const auto first = store_->ListVersions("acme", "tone", "", 2);
  ASSERT_EQ(first->size(), 2U);
  EXPECT_EQ(first->at(0).version.version, c);
  EXPECT_EQ(first->at(0).aliases, std::vector<std::string>{"live"});
  EXPECT_EQ(first->at(1).version.version, b);
  const auto second = store_->ListVersions("acme", "tone", b, 2);
  ASSERT_EQ(second->size(), 1U);
  EXPECT_EQ(second->at(0).version.version, a);
  Put(0.5F, "zeal");
  EXPECT_EQ(store_->ListAdapters("acme", "tone", 5).at(0).name, "zeal");
}

TEST_F(DurableAdapterStoreTest, ReadersSeeAllOfAChangeOrNothing) {
  const std::string a = Put(0.5F), b = Put(0.25F);
  std::atomic<bool> stop = false;
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      while (!stop) {
        const auto live = Resolve("tone", "k");
        ASSERT_TRUE(IsOk(live));
        ASSERT_TRUE(live->version == a || live->version == b);
        ASSERT_TRUE(IsOk(store_->Open(*live)));
        ASSERT_TRUE(IsOk(store_->ListVersions("acme", "tone", "", 10)));
      }
    });
  }
  std::vector<std::thread> writers;
  for (int t = 0; t < 2; ++t) {
    writers.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string name = "w" + std::to_string(t);
        const PeftAdapter adapter = SmallAdapter(static_cast<float>(1 + i % 3));
        ASSERT_TRUE(IsOk(UploadTo(store_.get(), HeaderFor(adapter, "acme", name), adapter)));
        ASSERT_TRUE(
            IsOk(store_->SetAlias("acme", "tone", {"live", {{i % 2 ? a : b, 1}}}, "", actor_)));
        ASSERT_TRUE(IsOk(store_->CollectGarbage()));
        ASSERT_TRUE(IsOk(store_->ScrubOne()));
        if (i % 5 == 4) {
          ASSERT_TRUE(IsOk(store_->DeleteAdapter("acme", name, "", true, actor_)));
        }
      }
    });
  }
  for (std::thread& thread : writers) thread.join();
  stop = true;
  for (std::thread& thread : readers) thread.join();
}

TEST_F(DurableAdapterStoreTest, TenThousandVersionsOpen) {
  Put(0.5F);
  store_ = nullptr;
  {
    auto db = SqliteDatabase::Open(Dir() + "/catalogue.sqlite", false, "");
    ASSERT_TRUE(IsOk(db));
    ASSERT_TRUE(IsOk(db->Execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
        "INSERT INTO versions SELECT v.tenant, v.name, printf('%064x', n.i), v.weights_sha256, "
        "v.weights_bytes, v.config_bytes, v.base_fingerprint, v.checked_fingerprint, v.max_rank, "
        "v.modules, v.parameters, 0, '', 0, n.i, v.config FROM n, versions v")));
  }
  const absl::Time begin = absl::Now();
  OpenStore();
  const absl::Duration took = absl::Now() - begin;
  EXPECT_EQ(store_->GetAdapter("acme", "tone")->versions, 10'001);
  RecordProperty("open_10000_ms", static_cast<int>(absl::ToInt64Milliseconds(took)));
}

}  // namespace
}  // namespace lamella
