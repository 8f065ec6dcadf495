// The admin listener on a free port over a real store in a folder of its own and a residency that
// the test steps by hand, and a client that speaks to it.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "adapters_store/durable_adapter_store.h"
#include "common/base/clock.h"
#include "common/formats/digest.h"
#include "lamella/v1/adapter_admin.grpc.pb.h"
#include "server/api/rpc_server.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/api/expect_error.h"
#include "tests/testing/base_specs.h"
#include "tests/testing/fake_adapters.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella {

// Loads as FakeResidency, pins of an administrator up to a limit. Thread-safe.
class FakeResidencyAdmin final : public AdapterResidencyAdmin {
 public:
  void RequestLoad(const AdapterRef& ref, std::function<void()> on_settled) override {
    loads.RequestLoad(ref, std::move(on_settled));
  }
  absl::StatusOr<AdapterPin> TryPin(const AdapterRef& ref) override { return loads.TryPin(ref); }
  Residency ResidencyOf(const AdapterRef& ref) const override {
    return loads.TryPin(ref).ok() ? Residency::kHost : Residency::kDisk;
  }
  int64_t ResidentBytes(const std::string& tenant) const override {
    return tenant == "anna" ? 4096 : 0;
  }
  absl::Status PinByAdmin(const AdapterRef& ref) override {
    MutexLock lock(&mutex_);
    if (pinned_.size() >= max_pins_ && !pinned_.contains(ref.Key())) {
      return MakeError(absl::StatusCode::kResourceExhausted, reasons::kPinLimit, "", "pins");
    }
    pinned_.insert(ref.Key());
    return absl::OkStatus();
  }
  bool UnpinByAdmin(const AdapterRef& ref) override {
    MutexLock lock(&mutex_);
    return pinned_.erase(ref.Key()) > 0;
  }

  bool IsPinned(const AdapterRef& ref) {
    MutexLock lock(&mutex_);
    return pinned_.contains(ref.Key());
  }
  void SetMaxPins(size_t pins) {
    MutexLock lock(&mutex_);
    max_pins_ = pins;
  }

  mutable FakeResidency loads;

 private:
  Mutex mutex_;
  std::set<std::string> pinned_ GUARDED_BY(mutex_);
  size_t max_pins_ GUARDED_BY(mutex_) = 100;
};

// The two files of an adapter. Different strengths are different versions.
struct UploadFiles {
  std::string config;
  std::string weights;

  uint64_t bytes() const { return config.size() + weights.size(); }
};

// What one upload came to.
struct UploadOutcome {
  std::vector<v1::UploadAdapterResponse> answers;
  grpc::Status status;
  std::multimap<std::string, std::string> trailers;

  const v1::UploadResult& result() const { return answers.back().result(); }
  // Digest of the version.
  std::string version() const {
    const std::string& name = result().version().name();
    return name.substr(name.rfind('/') + 1);
  }
};

class AdminTest : public ::testing::Test {
 protected:
  using Stream = grpc::ClientReaderWriter<v1::UploadAdapterRequest, v1::UploadAdapterResponse>;

  static constexpr int64_t kSize = 512;

  void SetUp() override { Start(); }
  void TearDown() override { StopServer(); }

  void Start() {
    auto store = DurableAdapterStore::Open({.dir = dir_.path() + "/store"}, base_, &clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    store_->SetChangeListener([this](const StoreChange& change) { hub_->Publish(change); });
    hub_ = std::make_unique<WatchHub>(watch_capacity_);
    workers_ = std::make_unique<WorkerPool>(2);
    AdminDeps deps{
        .store = store_.get(),
        .residency = &residency_,
        .watch = hub_.get(),
        .workers = workers_.get(),
        .authenticator = &authenticator_,
        .clock = &clock_,
        .metrics = registry_.metrics(),
        .start = start_,
        .load_of = [this](std::string_view tenant) { return loads_[std::string(tenant)]; },
        .upload_quota = &upload_quota_};
    auto server = RpcServer::Start({.address = "127.0.0.1:0", .flag = "admin-listen"}, deps);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = "127.0.0.1:" + std::to_string(server_->port());
    channel_ = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
    stub_ = v1::AdapterAdminService::NewStub(channel_);
  }

  void StopServer() {
    server_.reset();
    workers_.reset();
    store_.reset();
  }

  // Anna writes, Ben writes, Otto operates; everyone's key is their name.
  void UseCredentials() {
    const auto entry = [](const std::string& name, const std::string& role) {
      return R"({"name":")" + name + R"(","sha256":")" + Sha256Hex(name) + R"(","tenant":")" +
             name + R"(","roles":[")" + role + R"("]})";
    };
    authenticator_.Replace(
        *Credentials::FromJson(R"({"credentials":[)" + entry("anna", "adapter-writer") + "," +
                               entry("ben", "adapter-writer") + "," + entry("otto", "operator") +
                               "," + entry("ina", "inference") + "]}"));
  }
  static void AddKey(const std::string& key, grpc::ClientContext* context) {
    if (!key.empty()) context->AddMetadata("authorization", "Bearer " + key);
  }

  // About 3.7 MB of weights.
  static UploadFiles Files(float strength = 0.01F) {
    testing::PeftAdapter adapter;
    adapter.Config(R"({"peft_type":"LORA","task_type":"CAUSAL_LM","r":64,"lora_alpha":64})");
    for (int32_t layer = 0; layer < 2; ++layer) {
      for (int32_t kind = 0; kind < kModuleKinds; ++kind) {
        adapter.Module(ModulePath(layer, static_cast<ModuleKind>(kind)), 64, kSize, kSize,
                       strength);
      }
    }
    return {.config = adapter.config_json, .weights = adapter.weights.Bytes()};
  }

  static v1::UploadAdapterRequest Header(const std::string& adapter, const UploadFiles& files) {
    v1::UploadAdapterRequest request;
    request.mutable_header()->set_adapter("tenants/-/adapters/" + adapter);
    request.mutable_header()->set_config_bytes(files.config.size());
    request.mutable_header()->set_weights_bytes(files.weights.size());
    return request;
  }
  static v1::UploadAdapterRequest Config(std::string bytes) {
    v1::UploadAdapterRequest request;
    request.set_config(std::move(bytes));
    return request;
  }
  static v1::UploadAdapterRequest Weights(std::string bytes) {
    v1::UploadAdapterRequest request;
    request.set_weights(std::move(bytes));
    return request;
  }
  // Header, config in two pieces, weights in pieces of `chunk` bytes.
  static std::vector<v1::UploadAdapterRequest> Messages(v1::UploadAdapterRequest header,
                                                        const UploadFiles& files,
                                                        size_t chunk = size_t{256} << 10) {
    std::vector<v1::UploadAdapterRequest> messages = {std::move(header)};
    messages.push_back(Config(files.config.substr(0, 10)));
    messages.push_back(Config(files.config.substr(10)));
    for (size_t at = 0; at < files.weights.size(); at += chunk) {
      messages.push_back(Weights(files.weights.substr(at, chunk)));
    }
    return messages;
  }

  // Sends everything, then reads everything.
  UploadOutcome Send(const std::vector<v1::UploadAdapterRequest>& messages,
                     const std::string& key = "") {
    grpc::ClientContext context;
    AddKey(key, &context);
    const std::unique_ptr<Stream> stream = stub_->UploadAdapter(&context);
    for (const auto& message : messages) {
      if (!stream->Write(message)) break;
    }
    stream->WritesDone();
    UploadOutcome outcome;
    v1::UploadAdapterResponse answer;
    while (stream->Read(&answer)) outcome.answers.push_back(answer);
    outcome.status = stream->Finish();
    outcome.trailers = TrailersOf(context);
    return outcome;
  }
  UploadOutcome Upload(const std::string& adapter, const UploadFiles& files,
                       const std::function<void(v1::UploadHeader*)>& change = nullptr,
                       const std::string& key = "") {
    v1::UploadAdapterRequest header = Header(adapter, files);
    if (change) change(header.mutable_header());
    return Send(Messages(std::move(header), files), key);
  }
  // The digest of a version that now exists, with the alias live.
  std::string MustUpload(const std::string& adapter, float strength = 0.01F,
                         const std::string& key = "") {
    const UploadOutcome outcome = Upload(
        adapter, Files(strength), [](v1::UploadHeader* header) { header->set_alias("live"); }, key);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    return outcome.status.ok() ? outcome.version() : std::string(64, '0');
  }

  static std::string VersionOf(const std::string& adapter, const std::string& version) {
    return "tenants/-/adapters/" + adapter + "/versions/" + version;
  }

  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::AdapterAdminService::Stub::*method)(grpc::ClientContext*,
                                                                          const Request&,
                                                                          Response*),
                    const Request& request, Response* response, const std::string& key = "") {
    grpc::ClientContext context;
    AddKey(key, &context);
    return (stub_.get()->*method)(&context, request, response);
  }

  v1::Adapter GetAdapter(const std::string& adapter) {
    v1::GetAdapterRequest request;
    request.set_name("tenants/-/adapters/" + adapter);
    v1::GetAdapterResponse response;
    const grpc::Status status =
        Call(&v1::AdapterAdminService::Stub::GetAdapter, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.adapter();
  }

  // Everything in the store's folder but the catalogue's own files.
  std::set<std::string> StoredFiles() const {
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path())) {
      const std::string name = entry.path().filename().string();
      if (!entry.is_regular_file() || name.find("catalogue") != std::string::npos) continue;
      files.insert(entry.path().string());
    }
    return files;
  }

  const testing::TempDir dir_;
  BaseSpec base_ = testing::MakeDecoderSpec(
      {.layers = 2, .hidden = kSize, .q_out = kSize, .kv_out = kSize, .mlp = kSize});
  RealClock clock_;
  MetricsRegistry registry_;
  const absl::Time start_ = absl::FromUnixSeconds(1'000'000);
  std::map<std::string, TenantLoad> loads_;  // of the engine that is not there
  UploadQuota upload_quota_;
  size_t watch_capacity_ = 8192;
  Authenticator authenticator_{Credentials::Everyone("default")};
  FakeResidencyAdmin residency_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<DurableAdapterStore> store_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<RpcServer> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::AdapterAdminService::Stub> stub_;
};

}  // namespace lamella
