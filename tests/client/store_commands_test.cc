// lamella store, as a process on a store's folder.
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/adapters_store/store_fixture.h"

namespace lamella {
namespace {

using testing::IsOk;
using testing::SmallAdapter;

struct Outcome {
  int exit_code = -1;
  std::string output;  // of both streams
};

class StoreCommandsTest : public testing::StoreTest {
 protected:
  // The store is closed first: the commands need it for themselves.
  Outcome Run(const std::string& arguments) {
    store_ = nullptr;
    return RunBeside("--dir " + Dir() + " " + arguments);
  }
  static Outcome RunBeside(const std::string& arguments) {
    Outcome outcome;
    FILE* pipe = popen((std::string(LAMELLA_CLI) + " store " + arguments + " 2>&1").c_str(), "r");
    std::array<char, 4096> buffer{};
    for (size_t n = 1; n > 0;) {
      n = fread(buffer.data(), 1, buffer.size(), pipe);
      outcome.output.append(buffer.data(), n);
    }
    outcome.exit_code = WEXITSTATUS(pclose(pipe));
    return outcome;
  }
  static bool Has(const Outcome& outcome, const std::string& part) {
    return outcome.output.find(part) != std::string::npos;
  }
};

TEST_F(StoreCommandsTest, ListAndVerifyTellWhatIsThere) {
  const std::string version = Put(0.5F);
  const Outcome list = Run("list");
  EXPECT_EQ(list.exit_code, 0) << list.output;
  EXPECT_TRUE(Has(list, "acme") && Has(list, version.substr(0, 12)) && Has(list, "live"));
  EXPECT_TRUE(Has(Run("--output json list"), "\"version\":\"" + version + "\""));
  EXPECT_TRUE(Has(Run("verify"), "good=1 bad=0"));
  std::fstream(FilesOf("blobs").at(0), std::ios::in | std::ios::out)
      .seekp(-1, std::ios::end)
      .put(1);
  const Outcome bad = Run("verify");
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_TRUE(Has(bad, "good=0 bad=1")) << bad.output;
}

TEST_F(StoreCommandsTest, WhatIsExportedIsImportedAsTheSameVersion) {
  const std::string version = Put(0.5F);
  const std::string folder = dir_.path() + "/files";
  const Outcome out = Run("export --of acme --id tone " + folder);
  EXPECT_EQ(out.exit_code, 0) << out.output;
  const Outcome in = Run("import --of other --id copy --alias live " + folder);
  EXPECT_EQ(in.exit_code, 0) << in.output;
  EXPECT_TRUE(Has(in, "copy@sha256:" + version));
  OpenStore();
  const auto live = store_->Resolve("other", "copy", "");
  ASSERT_TRUE(IsOk(live));
  EXPECT_EQ(live->version, version);
  EXPECT_TRUE(Has(Run("audit --of other"), "cli"));
}

TEST_F(StoreCommandsTest, ABackupIsRestoredIntoAnEmptyFolder) {
  const std::string version = Put(0.5F);
  // The store is open here: a backup does not need it for itself.
  const Outcome backup = RunBeside("--dir " + Dir() + " backup " + dir_.path() + "/copy");
  EXPECT_EQ(backup.exit_code, 0) << backup.output;
  EXPECT_TRUE(Has(Run("restore " + dir_.path() + "/copy"), "STORE_UNWRITABLE"));
  std::filesystem::remove_all(Dir());
  const Outcome restore = Run("restore " + dir_.path() + "/copy");
  EXPECT_EQ(restore.exit_code, 0) << restore.output;
  OpenStore();
  const auto live = store_->Resolve("acme", "tone", "");
  ASSERT_TRUE(IsOk(live));
  EXPECT_EQ(live->version, version);
  EXPECT_TRUE(IsOk(store_->Open(*live)));
}

TEST_F(StoreCommandsTest, EraseTakesOneTenantAndCollectionIsQuiet) {
  Put(0.5F, "tone", "acme");
  Put(0.5F, "tone", "other");
  EXPECT_EQ(Run("erase-tenant acme").exit_code, 0);
  EXPECT_TRUE(Has(Run("gc"), "freed_bytes=0"));
  OpenStore();
  EXPECT_EQ(store_->Tenants(), std::vector<std::string>{"other"});
}

TEST_F(StoreCommandsTest, AStoreInUseOrMissingIsSaid) {
  const Outcome locked = RunBeside("--dir " + Dir() + " list");
  EXPECT_EQ(locked.exit_code, 1);
  EXPECT_TRUE(Has(locked, "STORE_LOCKED")) << locked.output;
  EXPECT_TRUE(Has(RunBeside("--dir " + dir_.path() + "/none list"), "MISSING_FILE"));
  EXPECT_EQ(RunBeside("list").exit_code, 2);
}

}  // namespace
}  // namespace lamella
