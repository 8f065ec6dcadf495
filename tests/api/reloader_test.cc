#include "server/api/reloader.h"

#include <filesystem>
#include <memory>
#include <string>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/formats/digest.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

class ReloaderTest : public ::testing::Test {
 protected:
  static std::string File(const std::string& key) {
    return R"({"credentials":[{"name":"app","sha256":")" + Sha256Hex(key) +
           R"(","tenant":"anna","roles":["inference"]}],"tenants":{"anna":{"weight":2}}})";
  }
  bool Knows(const std::string& key) {
    const std::string header = "Bearer " + key;
    return authenticator_.Authenticate({.authorization = header}).ok();
  }
  double Stale() { return registry_.metrics()->credentials.stale.Value(); }
  double Reloads() { return registry_.metrics()->credentials.reloads.Value(); }
  double Failures() { return registry_.metrics()->credentials.failures.Value(); }

  testing::TempDir dir_;
  const std::string path_ = dir_.Write("c.json", File("k1"));
  MetricsRegistry registry_;
  Authenticator authenticator_{*Credentials::FromJson(File("k1"))};
  absl::Status limits_status_;
  size_t limited_ = 0;
  // Its own turns never come: the tests look.
  std::unique_ptr<Reloader> reloader_ = ReloadCredentials(
      path_, File("k1"), absl::Hours(24),
      [this](const TenantTable& tenants) {
        limited_ = tenants.all().size();
        return limits_status_;
      },
      *registry_.metrics(), &authenticator_);
};

TEST_F(ReloaderTest, AnUnchangedFileIsNotTakenAgain) {
  reloader_->Look();
  EXPECT_EQ(Reloads(), 0);
  EXPECT_TRUE(Knows("k1"));
}

TEST_F(ReloaderTest, AChangedFileIsInForce) {
  dir_.Write("c.json", File("k2"));
  reloader_->Look();
  EXPECT_TRUE(Knows("k2"));
  EXPECT_FALSE(Knows("k1"));
  EXPECT_EQ(limited_, 1U);
  EXPECT_EQ(Reloads(), 1);
  EXPECT_EQ(Stale(), 0);
}

TEST_F(ReloaderTest, ALinkThatIsSwappedIsSeen) {
  std::filesystem::rename(path_, path_ + ".old");
  std::filesystem::create_symlink(dir_.Write("new.json", File("k2")), path_);
  reloader_->Look();
  EXPECT_TRUE(Knows("k2"));
}

TEST_F(ReloaderTest, ABadFileLeavesTheOldOneInForce) {
  for (const std::string bad : {"", "{", R"({"credentials":[{}]})", R"({"credentials":7})"}) {
    dir_.Write("c.json", bad);
    reloader_->Look();
    EXPECT_TRUE(Knows("k1")) << bad;
    EXPECT_EQ(Stale(), 1) << bad;
  }
  EXPECT_EQ(Failures(), 4);
  reloader_->Look();
  EXPECT_EQ(Failures(), 4) << "once for each content";
  dir_.Write("c.json", File("k2"));
  reloader_->Look();
  EXPECT_TRUE(Knows("k2"));
  EXPECT_EQ(Stale(), 0);
}

TEST_F(ReloaderTest, AFileThatIsGoneLeavesTheOldOneInForce) {
  std::filesystem::remove(path_);
  reloader_->Look();
  reloader_->Look();
  EXPECT_TRUE(Knows("k1"));
  EXPECT_EQ(Failures(), 1);
  dir_.Write("c.json", File("k1"));
  reloader_->Look();
  EXPECT_EQ(Stale(), 0);
}

TEST_F(ReloaderTest, LimitsThatCannotBeHadRefuseTheFile) {
  limits_status_ = MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidCredentials,
                             "tenants.anna.resident_floor", "too much");
  dir_.Write("c.json", File("k2"));
  reloader_->Look();
  EXPECT_TRUE(Knows("k1"));
  EXPECT_FALSE(Knows("k2"));
  EXPECT_EQ(Stale(), 1);
}

}  // namespace
}  // namespace lamella
