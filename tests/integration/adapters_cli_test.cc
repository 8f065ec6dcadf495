// `lamella adapters ...` against a server with a store: both as processes. Over a tiny model and
// adapters that the test writes itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/admin_client.h"
#include "client/client.h"
#include "common/base/error.h"
#include "common/formats/digest.h"
#include "nlohmann/json.hpp"
#include "tests/integration/server_process.h"
#include "tests/integration/tiny_model.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::PeftAdapter;
using testing::Process;
using testing::ServerProcess;
using testing::TempDir;

constexpr int kUnavailable = 3;

// A command that has ended.
struct Ran {
  int status = 0;
  std::string output;  // of stdout and stderr

  nlohmann::json json() const { return nlohmann::json::parse(output, nullptr, false); }
};

class AdaptersCliTest : public ::testing::Test {
 protected:
  void SetUp() override { StartServer(); }

  void StartServer(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = {"--model=" + model_, "--dtype=float32", "--threads=1",
                                      "--kv-cache-bytes=16MiB",
                                      "--adapters-store=" + dir_.path() + "/store"};
    flags.insert(flags.end(), more.begin(), more.end());
    server_ = std::make_unique<ServerProcess>(flags);
    ASSERT_TRUE(server_->AwaitReady());
  }
  void StopServer() {
    server_->process().Signal(SIGTERM);
    EXPECT_EQ(server_->process().Wait(), 0) << server_->process().output();
    server_.reset();
  }

  std::vector<std::string> Command(const std::vector<std::string>& arguments) {
    std::vector<std::string> command = {LAMELLA_CLI_BINARY, "--admin", server_->admin_address(),
                                        "--server", server_->address()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
  }
  Ran Run(const std::vector<std::string>& arguments) {
    Process process(Command(arguments));
    Ran ran;
    ran.status = process.Wait();
    ran.output = process.output();
    return ran;
  }
  // The digest of what was uploaded, live.
  std::string Upload(const std::string& id, float strength) {
    const Ran ran = Run(
        {"adapters", "upload", Folder(strength), "--id", id, "--alias", "live", "--output=json"});
    EXPECT_EQ(ran.status, 0) << ran.output;
    return ran.json()["version"]["version"];
  }

  // A folder with an adapter whose weights are large enough to change every answer.
  std::string Folder(float strength, int64_t rank = 4) {
    const std::string name = "a" + std::to_string(strength) + "-" + std::to_string(rank);
    PeftAdapter adapter;
    adapter.Config(R"({"peft_type":"LORA","task_type":"CAUSAL_LM","r":)" + std::to_string(rank) +
                   R"(,"lora_alpha":)" + std::to_string(rank) + "}");
    for (int layer = 0; layer < 2; ++layer) {
      const std::string path = "model.layers." + std::to_string(layer) + ".mlp.";
      for (const char* module : {"gate_proj", "up_proj"}) {
        adapter.Module(path + module, rank, testing::kServedHidden, testing::kServedInner, strength,
                       -strength);
      }
    }
    adapter.WriteTo(dir_, name);
    return dir_.path() + "/" + name;
  }

  static std::string Read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  TempDir dir_;
  std::string model_ = dir_.Write("tiny.gguf", testing::ServedModel().Build());
  std::unique_ptr<ServerProcess> server_;
};

TEST_F(AdaptersCliTest, AnUploadedAdapterAnswersAndSurvivesARestart) {
  const auto base = Run({"generate", "ab cab", "--max-tokens", "8", "--ignore-eos"});
  EXPECT_EQ(base.status, 0) << base.output;
  const Ran upload = Run({"adapters", "upload", Folder(0.5F), "--id", "mine", "--alias", "live"});
  EXPECT_EQ(upload.status, 0) << upload.output;
  EXPECT_THAT(upload.output, HasSubstr("created: tenants/default/adapters/mine/versions/"));
  EXPECT_THAT(upload.output, HasSubstr("uploading "));  // plain lines: this is no terminal
  EXPECT_THAT(upload.output, Not(HasSubstr("\r")));
  const std::vector<std::string> generate = {"generate",     "ab cab", "--adapter",   "mine",
                                             "--max-tokens", "8",      "--ignore-eos"};
  const Ran first = Run(generate);
  EXPECT_EQ(first.status, 0) << first.output;
  EXPECT_NE(first.output, base.output);
  StopServer();
  StartServer();
  EXPECT_THAT(server_->process().output(), HasSubstr("adapters=1 refused=0"));
  EXPECT_THAT(Run({"adapters", "list"}).output, HasSubstr("mine "));
  EXPECT_EQ(Run(generate).output, first.output);
  const Ran again = Run({"adapters", "upload", Folder(0.5F), "--id", "mine"});
  EXPECT_THAT(again.output, HasSubstr("already there"));
}

TEST_F(AdaptersCliTest, ValidateOnlyKeepsNothing) {
  const Ran valid = Run({"adapters", "upload", Folder(0.5F), "--id", "mine", "--validate-only"});
  EXPECT_EQ(valid.status, 0) << valid.output;
  EXPECT_THAT(valid.output, HasSubstr("valid: "));
  EXPECT_EQ(Run({"adapters", "get", "mine"}).status, 1);
}

TEST_F(AdaptersCliTest, RefusalsSayWhyAndHaveTheirExitStatus) {
  const Ran none = Run({"adapters", "get", "none"});
  EXPECT_EQ(none.status, 1);
  EXPECT_THAT(none.output, HasSubstr("ADAPTER_NOT_FOUND"));
  const Ran missing = Run({"adapters", "upload", dir_.path() + "/nowhere", "--id", "mine"});
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.output, HasSubstr("MISSING_FILE, adapter_config.json"));
  const Ran bad_id = Run({"adapters", "upload", Folder(0.5F), "--id", "Mine"});
  EXPECT_EQ(bad_id.status, 1);
  EXPECT_THAT(bad_id.output, HasSubstr("INVALID_RESOURCE_NAME, header.adapter"));
  const Ran no_answer = Run({"generate", "a prompt", "--adapter", "none"});
  EXPECT_EQ(no_answer.status, 1);
  EXPECT_EQ(no_answer.output.find('\n'), no_answer.output.size() - 1) << no_answer.output;
  EXPECT_EQ(Run({"adapters", "upload", Folder(0.5F)}).status, 2);
  EXPECT_EQ(Run({"adapters"}).status, 2);
  EXPECT_EQ(Run({"--token-file", dir_.path() + "/none", "adapters", "list"}).status, 2);
  const std::string admin = server_->admin_address();
  StopServer();
  Process unavailable({LAMELLA_CLI_BINARY, "adapters", "list", "--admin", admin});
  EXPECT_EQ(unavailable.Wait(), kUnavailable) << unavailable.output();
}

TEST_F(AdaptersCliTest, AliasesSwitchSplitAndAreGuarded) {
  const std::string one = Upload("mine", 0.5F);
  const std::string etag = Run({"adapters", "get", "mine", "--output=json"}).json()["etag"];
  const std::string two = Upload("mine", 0.7F);
  const Ran stale = Run({"adapters", "set-alias", "mine", "live", one, "--etag", etag});
  EXPECT_EQ(stale.status, 1);
  EXPECT_THAT(stale.output, HasSubstr("ETAG_MISMATCH"));
  const Ran back = Run({"adapters", "set-alias", "mine", "live", one.substr(0, 12)});
  EXPECT_EQ(back.status, 0) << back.output;
  EXPECT_THAT(back.output, HasSubstr("live -> " + one.substr(0, 12)));
  const Ran split = Run({"adapters", "set-alias", "mine", "canary", one + "=9", two + "=1"});
  EXPECT_EQ(split.status, 0) << split.output;
  EXPECT_THAT(split.output, HasSubstr(one.substr(0, 12) + ":9 " + two.substr(0, 12) + ":1"));
  const Ran versions = Run({"adapters", "versions", "mine"});
  EXPECT_THAT(versions.output, HasSubstr(two.substr(0, 12) + "   ready"));
  EXPECT_EQ(Run({"adapters", "delete", "mine"}).status, 1);
  EXPECT_EQ(Run({"adapters", "delete-alias", "mine", "canary"}).status, 0);
  EXPECT_EQ(Run({"adapters", "delete", "mine", two}).status, 0);
  EXPECT_EQ(Run({"adapters", "delete", "mine", "--force"}).status, 0);
  EXPECT_EQ(Run({"adapters", "get", "mine"}).status, 1);
}

TEST_F(AdaptersCliTest, AWeightOutOfRangeIsRefusedOfAnOnlyTargetToo) {
  const std::string version = Upload("mine", 0.5F);
  for (const std::string weight : {"0", "1000001"}) {
    const Ran ran = Run({"adapters", "set-alias", "mine", "live", version + "=" + weight});
    EXPECT_EQ(ran.status, 1);
    EXPECT_THAT(ran.output, HasSubstr("must be in [1, 1000000], got " + weight));
  }
}

TEST_F(AdaptersCliTest, WarmPinAndQuarantineShowWhereItIs) {
  const std::string version = Upload("mine", 0.5F);
  EXPECT_EQ(Run({"adapters", "get", "mine", "live", "--output=json"}).json()["residency"], "disk");
  EXPECT_EQ(Run({"adapters", "warm", "mine", "--output=json"}).json()["residency"], "host");
  EXPECT_THAT(Run({"adapters", "usable"}).output, HasSubstr("host"));
  EXPECT_EQ(Run({"adapters", "pin", "mine", "--output=json"}).json()["pinned"], true);
  StopServer();
  StartServer();  // pinned: in memory before it is ready
  EXPECT_EQ(Run({"adapters", "get", "mine", version, "--output=json"}).json()["residency"], "host");
  EXPECT_EQ(Run({"adapters", "unpin", "mine", "--output=json"}).json()["pinned"], false);
  const Ran quarantine =
      Run({"adapters", "quarantine", "mine", "--reason", "writes nonsense", "--output=json"});
  EXPECT_EQ(quarantine.json()["state"], "quarantined");
  const Ran refused = Run({"generate", "ab", "--adapter", "mine"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.output, HasSubstr("VERSION_QUARANTINED"));
  EXPECT_EQ(Run({"adapters", "release", "mine", version, "--output=json"}).json()["state"],
            "ready");
  EXPECT_EQ(Run({"generate", "ab", "--adapter", "mine"}).status, 0);
}

TEST_F(AdaptersCliTest, ADownloadIsWhatWasUploaded) {
  const std::string from = Folder(0.5F);
  Upload("mine", 0.5F);
  const std::string to = dir_.path() + "/back";
  const Ran download = Run({"adapters", "download", "mine", "live", to});
  EXPECT_EQ(download.status, 0) << download.output;
  for (const char* file : {"/adapter_config.json", "/adapter_model.safetensors"}) {
    EXPECT_EQ(Read(to + file), Read(from + file)) << file;
  }
  const std::string nowhere = dir_.path() + "/nowhere";
  EXPECT_EQ(Run({"adapters", "download", "mine", std::string(64, 'a'), nowhere}).status, 1);
  EXPECT_FALSE(std::filesystem::exists(nowhere + "/adapter_config.json"));
  EXPECT_FALSE(std::filesystem::exists(nowhere + "/adapter_config.json.partial"));
}

TEST_F(AdaptersCliTest, AWatchTellsOfUploadsAndEndsWithTheServer) {
  Process watch(Command({"adapters", "watch"}));
  ASSERT_TRUE(watch.AwaitOutput("snapshot_end"));
  const std::string version = Upload("mine", 0.5F);
  EXPECT_TRUE(watch.AwaitOutput("tenants/default/adapters/mine/versions/" + version));
  StopServer();
  EXPECT_EQ(watch.Wait(), kUnavailable) << watch.output();
}

TEST_F(AdaptersCliTest, KeysSayWhoCallsAndMay) {
  StopServer();
  const auto entry = [](const std::string& name, const std::string& roles) {
    return R"({"name":")" + name + R"(","sha256":")" + Sha256Hex(name) + R"(","tenant":"anna",)" +
           R"("roles":[)" + roles + "]}";
  };
  const std::string file = dir_.Write(
      "credentials.json", R"({"credentials":[)" + entry("writer", R"("adapter-writer")") + "," +
                              entry("app", R"("inference")") + "]}");
  const std::string writer = dir_.Write("writer.key", "writer\n");
  const std::string app = dir_.Write("app.key", "app\n");
  StartServer({"--credentials=" + file});
  const std::vector<std::string> upload = {"adapters", "upload",  Folder(0.5F), "--id",
                                           "mine",     "--alias", "live"};
  const auto with = [&](const std::string& key, const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {"--token-file", key};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return Run(all);
  };
  EXPECT_THAT(Run(upload).output, HasSubstr("UNAUTHENTICATED"));
  EXPECT_THAT(with(app, upload).output, HasSubstr("PERMISSION_DENIED"));
  const Ran uploaded = with(writer, upload);
  EXPECT_THAT(uploaded.output, HasSubstr("tenants/anna/adapters/mine/"));
  EXPECT_THAT(with(writer, {"adapters", "pin", "mine"}).output, HasSubstr("PERMISSION_DENIED"));
  EXPECT_EQ(with(app, {"generate", "ab", "--adapter", "mine"}).status, 0);
  EXPECT_THAT(with(writer, {"generate", "ab"}).output, HasSubstr("PERMISSION_DENIED"));
  EXPECT_THAT(Run({"generate", "ab"}).output, HasSubstr("UNAUTHENTICATED"));
}

// Kills the client while it uploads. However far it was: a whole version or nothing.
TEST_F(AdaptersCliTest, AKilledUploadLeavesAWholeVersionOrNothing) {
  const auto large_files = [this] {
    int files = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(dir_.path() + "/store")) {
      const bool catalogue =
          entry.path().filename().string().find("catalogue") != std::string::npos;
      if (entry.is_regular_file() && !catalogue && entry.file_size() > 0) ++files;
    }
    return files;
  };
  int before = large_files();
  const std::string folder = Folder(0.5F, 4096);
  auto admin = *client::AdminClient::Connect({.admin = server_->admin_address()});
  bool left_nothing = false;
  for (int i = 0; i < 20 && !left_nothing; ++i) {
    Process client(Command({"adapters", "upload", folder, "--id", "mine"}));
    client.AwaitOutput("uploading");
    client.Signal(SIGKILL);
    client.Wait();
    left_nothing = true;
    while (large_files() > before) {
      // Either the temporary file goes, or it became the blob of a version.
      if (!admin->GetAdapter("mine").ok()) continue;
      ASSERT_TRUE(admin->DeleteAdapter("mine", "", true).ok());
      before = large_files();  // the blob stays for the grace time of garbage
      left_nothing = false;
      break;
    }
  }
  EXPECT_TRUE(left_nothing);
  EXPECT_EQ(admin->GetAdapter("mine").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(admin->Upload({.dir = folder, .adapter = "mine"}).ok());
}

TEST_F(AdaptersCliTest, ASecondServerOnTheStoreIsRefused) {
  ServerProcess second({"--model=" + model_, "--adapters-store=" + dir_.path() + "/store"});
  EXPECT_EQ(second.process().Wait(), 1);
  EXPECT_THAT(second.process().output(), HasSubstr("reason=STORE_LOCKED"));
  EXPECT_THAT(second.process().output(), Not(HasSubstr(dir_.path())));
}

TEST_F(AdaptersCliTest, AFolderAndAStoreTogetherAreAnError) {
  ServerProcess second({"--model=" + model_, "--adapters-store=" + dir_.path() + "/s",
                        "--adapters-dir=" + dir_.path()});
  EXPECT_EQ(second.process().Wait(), 2);
  EXPECT_THAT(second.process().output(), HasSubstr("--adapters-store"));
}

TEST_F(AdaptersCliTest, AnAdapterThatComesBeforeEachCrashIsLeftOut) {
  const std::string bad = Upload("bad", 0.5F);
  const std::string good = Upload("good", 0.25F);
  for (int i = 0; i < 3; ++i) {
    for (const char* adapter : {"good", "bad"}) {
      const Ran ran = Run({"generate", "--adapter", adapter, "--max-tokens", "1", "ab"});
      ASSERT_EQ(ran.status, 0) << ran.output;
    }
    server_->process().Signal(SIGKILL);
    server_->process().Wait();
    server_.reset();
    StartServer();
  }
  EXPECT_THAT(server_->process().output(), HasSubstr("adapter left out"));
  auto client = *client::Client::Connect({.server = server_->address()});
  const auto refused = client->Generate({.adapter = "bad", .prompt = "ab"});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition) << refused.status();
  EXPECT_EQ(ErrorReason(refused.status()), "VERSION_QUARANTINED");
  EXPECT_TRUE(client->Generate({.adapter = "good", .prompt = "ab"}).ok());
  EXPECT_TRUE(client->Generate({.prompt = "ab"}).ok());
  EXPECT_THAT(Run({"adapters", "versions", "bad", "--output=json"}).output,
              HasSubstr("CRASH_LOOP"));
  StopServer();
}

}  // namespace
}  // namespace lamella
