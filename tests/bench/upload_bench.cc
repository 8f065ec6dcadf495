// lamella-upload-bench [uploads]
//
// Uploads of an adapter of about 20 MB over loopback gRPC, in chunks of 1 MiB. The client is a
// process of its own, so that what the server costs can be told apart: its processor seconds, user
// and system, of all its threads (getrusage), from the end of a first upload that is not counted to
// the last answer. Making a version durable is part of them, and of the wait for the answer after
// the last chunk, which is told apart. Prints one line of name=number.
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "lamella/v1/adapter_admin.grpc.pb.h"
#include "server/api/rpc_server.h"
#include "server/api/upload_session.h"
#include "tests/bench/heap_meter.h"
#include "tests/testing/base_specs.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella::bench {
namespace {

constexpr int32_t kLayers = 6;
constexpr int64_t kSize = 1024;
constexpr int32_t kRank = 56;

BaseSpec Base() {
  return testing::MakeDecoderSpec(
      {.layers = kLayers, .hidden = kSize, .q_out = kSize, .kv_out = kSize, .mlp = kSize});
}

testing::PeftAdapter MakeAdapter(int seed) {
  testing::PeftAdapter adapter;
  adapter.Config(absl::StrCat(R"({"peft_type":"LORA","lora_alpha":8,"r":)", kRank, "}"));
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    for (int32_t kind = 0; kind < kModuleKinds; ++kind) {
      adapter.Module(ModulePath(layer, static_cast<ModuleKind>(kind)), kRank, kSize, kSize,
                     0.01F * static_cast<float>(seed + 1));
    }
  }
  return adapter;
}

// Nothing is ever loaded.
class NoResidency final : public AdapterResidencyAdmin {
 public:
  void RequestLoad(const AdapterRef&, std::function<void()> on_settled) override { on_settled(); }
  absl::StatusOr<AdapterPin> TryPin(const AdapterRef&) override {
    return MakeError(absl::StatusCode::kUnavailable, reasons::kAdapterLoading, "", "never");
  }
  int64_t ResidentBytes(const std::string&) const override { return 0; }
  Residency ResidencyOf(const AdapterRef&) const override { return Residency::kDisk; }
  absl::Status PinByAdmin(const AdapterRef&) override { return absl::OkStatus(); }
  bool UnpinByAdmin(const AdapterRef&) override { return false; }
};

// What one process tells the other, by value through a pipe.
class Pipe {
 public:
  Pipe() {
    if (pipe(ends_) != 0) std::abort();
  }
  template <typename Value>
  void Send(const Value& value) const {
    if (write(ends_[1], &value, sizeof(value)) != sizeof(value)) std::_Exit(2);
  }
  // Ends the process if the other one is gone.
  template <typename Value>
  Value Receive() const {
    Value value{};
    if (read(ends_[0], &value, sizeof(value)) != sizeof(value)) std::_Exit(2);
    return value;
  }
  void CloseWriter() const { close(ends_[1]); }

 private:
  int ends_[2] = {};
};

struct ClientFigures {
  int64_t bytes = 0;
  double seconds = 0;       // from the first message to the answer, all uploads
  double after_last_s = 0;  // of these, behind the last chunk
};

// Adds one upload to `figures`.
bool UploadOnce(v1::AdapterAdminService::Stub* stub, int seed, ClientFigures* figures) {
  const testing::PeftAdapter adapter = MakeAdapter(seed);
  const std::string weights = adapter.weights.Bytes();
  std::vector<v1::UploadAdapterRequest> messages(2);
  messages[0].mutable_header()->set_adapter("tenants/-/adapters/large");
  messages[0].mutable_header()->set_config_bytes(adapter.config_json.size());
  messages[0].mutable_header()->set_weights_bytes(weights.size());
  messages[1].set_config(adapter.config_json);
  for (size_t at = 0; at < weights.size(); at += kMaxChunkBytes) {
    messages.emplace_back().set_weights(weights.substr(at, kMaxChunkBytes));
  }
  const absl::Time begin = absl::Now();
  grpc::ClientContext context;
  const auto stream = stub->UploadAdapter(&context);
  for (const auto& message : messages) {
    if (!stream->Write(message)) break;
  }
  stream->WritesDone();
  const absl::Time sent = absl::Now();
  v1::UploadAdapterResponse answer;
  while (stream->Read(&answer)) {
  }
  const grpc::Status status = stream->Finish();
  figures->bytes += static_cast<int64_t>(weights.size());
  figures->seconds += absl::ToDoubleSeconds(absl::Now() - begin);
  figures->after_last_s += absl::ToDoubleSeconds(absl::Now() - sent);
  if (!status.ok()) std::fprintf(stderr, "upload: %s\n", status.error_message().c_str());
  return status.ok();
}

int RunClient(int uploads, const Pipe& to_client, const Pipe& to_server) {
  const int port = to_client.Receive<int>();
  grpc::ChannelArguments arguments;
  const auto channel = grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port),
                                                 grpc::InsecureChannelCredentials(), arguments);
  const auto stub = v1::AdapterAdminService::NewStub(channel);
  ClientFigures warm;
  if (!UploadOnce(stub.get(), 0, &warm)) return 1;
  to_server.Send(1);
  to_client.Receive<int>();
  ClientFigures figures;
  for (int i = 1; i <= uploads; ++i) {
    if (!UploadOnce(stub.get(), i, &figures)) return 1;
  }
  to_server.Send(figures);
  to_client.Receive<int>();  // the channel stays open until the server has looked at its clock
  return 0;
}

double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int RunServer(int uploads, const Pipe& to_client, const Pipe& to_server) {
  const testing::TempDir dir;
  const BaseSpec base = Base();
  const RealClock clock;
  auto store = DurableAdapterStore::Open({.dir = dir.path() + "/store"}, base, &clock);
  if (!store.ok()) return 1;
  NoResidency residency;
  WatchHub watch(16);
  WorkerPool workers(1);
  const Metrics metrics{};
  const Authenticator everyone(Credentials::Everyone("default"));
  UploadQuota quota;
  const AdminDeps deps{.store = store->get(),
                       .residency = &residency,
                       .watch = &watch,
                       .workers = &workers,
                       .authenticator = &everyone,
                       .clock = &clock,
                       .metrics = &metrics,
                       .upload_quota = &quota};
  const auto server = RpcServer::Start({.address = "127.0.0.1:0", .flag = "admin-listen"}, deps);
  if (!server.ok()) return 1;
  to_client.Send((*server)->port());
  to_server.Receive<int>();
  const HeapMeter heap;
  const double begin = ProcessorSeconds();
  to_client.Send(1);
  const auto client = to_server.Receive<ClientFigures>();
  const double processor = ProcessorSeconds() - begin;
  const double megabytes = 1e-6 * static_cast<double>(client.bytes);
  std::printf(
      "uploads=%d file_bytes=%lld megabytes_per_core_second=%.1f megabytes_per_second=%.1f "
      "after_last_chunk_ms=%.2f heap_bytes=%zu\n",
      uploads, static_cast<long long>(client.bytes / uploads), megabytes / processor,
      megabytes / client.seconds, 1e3 * client.after_last_s / uploads, heap.peak_bytes());
  to_client.Send(1);
  return 0;
}

int Run(int uploads) {
  const Pipe to_client;
  const Pipe to_server;
  const pid_t client = fork();  // before gRPC has a thread
  if (client == 0) {
    to_client.CloseWriter();
    std::_Exit(RunClient(uploads, to_client, to_server));
  }
  to_server.CloseWriter();
  const int result = RunServer(uploads, to_client, to_server);
  to_client.CloseWriter();
  int status = 0;
  waitpid(client, &status, 0);
  return result != 0 || status != 0 ? 1 : 0;
}

}  // namespace
}  // namespace lamella::bench

int main(int argc, char** argv) {
  return lamella::bench::Run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 10);
}
