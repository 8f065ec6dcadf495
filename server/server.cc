#include "server/server.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters_store/folder_adapter_store.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/logging.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/adapter_rooms.h"
#include "server/api/reloader.h"
#include "server/api/rpc_server.h"
#include "server/api/tls_reloader.h"
#include "server/engine/engine.h"
#include "server/executor_options.h"
#include "server/model/cpu_executor.h"
#include "server/model/weight_source.h"
#include "server/record_keepers.h"
#include "server/telemetry/metrics_registry.h"
#include "server/tenant_standings.h"
#include "server/tokenizer/gguf_tokenizer.h"
#include "server/tokenizer/tokenizer_json.h"

namespace lamella {
namespace {

// How long the last messages may take to leave after the engine has ended every stream.
constexpr absl::Duration kFlushGrace = absl::Seconds(2);

// Between two looks at files that may change.
constexpr absl::Duration kReloadInterval = absl::Seconds(1);

class EngineSink final : public RequestSink {
 public:
  explicit EngineSink(Engine* engine) : engine_(engine) {}
  absl::StatusOr<StreamReader> Submit(Request request) override {
    return engine_->Submit(std::move(request));
  }

 private:
  Engine* const engine_;
};

// The file or folder without its extension: never the path to it.
std::string ModelName(const std::string& path) {
  const std::filesystem::path clean = (std::filesystem::path(path) / "").parent_path();
  return clean.extension() == ".gguf" ? clean.stem().string() : clean.filename().string();
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const WeightSource& source) {
  if (source.tokenizer_format() == TokenizerFormat::kGguf) {
    ASSIGN_OR_RETURN(const GgufTokenizerData data, source.ReadGgufTokenizer());
    return TokenizerFromGguf(data);
  }
  ASSIGN_OR_RETURN(const HfTokenizerFiles files, source.ReadHfTokenizer());
  return LoadTokenizerJson(files.tokenizer_json, {.eos_token_ids = source.config().eos_token_ids,
                                                  .bos_token_id = source.config().bos_token_id});
}

// Where a listener listens, with the port that it got; "off" without one.
std::string AddressOf(const std::string& wanted, int port) {
  return port == 0 ? "off" : absl::StrCat(wanted.substr(0, wanted.rfind(':')), ":", port);
}

MetricsOptions MetricsOptionsOf(const ServerConfig& config) {
  return {.most_tenants = config.telemetry.metrics_tenants,
          .most_adapters = config.telemetry.metrics_adapters,
          .vllm_names = config.telemetry.vllm_metrics,
          .model_name = ModelName(config.model.path)};
}

// Of the data listener. `tls` is borrowed.
RpcServerOptions RpcOptionsOf(const ListenOptions& listen, const TlsReloader* tls) {
  RpcServerOptions options;
  options.address = listen.address;
  options.enable_reflection = listen.enable_reflection;
  options.tls = tls;
  options.max_concurrent_streams = listen.max_streams_per_connection;
  options.memory_bytes = listen.memory_bytes;
  options.max_connection_age = listen.max_connection_age;
  options.max_write_stall = listen.max_write_stall;
  return options;
}

EngineOptions EngineOptionsOf(const ServerConfig& config) {
  EngineOptions options;
  options.step_tokens = config.batch.max_rows_per_step;
  options.prefill_chunk_tokens =
      std::min(config.batch.prefill_chunk, config.batch.max_rows_per_step);
  options.max_running = config.batch.max_sequences;
  options.admission.max_queued = config.batch.max_queued_requests;
  options.admission.max_in_flight = config.batch.max_requests_in_flight;
  options.admission.max_queued_tokens = config.batch.max_queued_tokens;
  options.admission.tokens_per_minute = config.batch.tokens_per_minute;
  options.admission.max_queue_wait = config.batch.max_queue_wait;
  if (config.batch.max_request_time > absl::ZeroDuration()) {
    options.max_request_time = config.batch.max_request_time;
  }
  options.policy =
      config.batch.fair_shares ? EngineOptions::Policy::kVtc : EngineOptions::Policy::kFcfs;
  options.kv_overcommit = config.batch.kv_overcommit;
  options.prefix_reuse = config.batch.prefix_reuse;
  options.share_base_prefixes = config.batch.share_base_prefixes;
  return options;
}

}  // namespace

// In the order in which they are built; members go in reverse.
struct Server::Rooms {
  explicit Rooms(const ServerConfig& config) : registry(MetricsOptionsOf(config)) {}

  RealClock clock;
  std::atomic<bool> computing = false;
  MetricsRegistry registry;
  std::unique_ptr<RequestRecorder> recorder;
  std::unique_ptr<Authenticator> authenticator;
  std::unique_ptr<TlsReloader> tls;  // null without a certificate
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<CpuExecutor> executor;
  std::unique_ptr<AdapterRooms> adapters;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<EngineSink> sink;
  std::unique_ptr<RpcServer> rpc;
  std::unique_ptr<MetricsExposer> exposer;
  std::string credentials;  // the file's content at the start
  std::string jwt_keys;     // and the key set's
  std::vector<std::unique_ptr<Reloader>> reloaders;

  absl::Status ReadCredentials(const ListenOptions& options);
  absl::Status ReadCertificate(const ListenOptions& options);
  absl::Status BuildModel(const ServerConfig& config, ModelFacts* facts);
  absl::Status BuildAdapters(const ServerConfig& config);
  absl::Status BuildEngine(const ServerConfig& config);
  absl::Status Listen(const ServerConfig& config, const ModelFacts& facts);
  void WatchCredentials(const ListenOptions& options);
  void LogReady(const ServerConfig& config, const ModelFacts& facts, absl::Time begin) const;
};

absl::Status Server::Rooms::ReadCredentials(const ListenOptions& options) {
  const bool tokens = !options.jwt_keys_path.empty();
  Credentials parsed = tokens ? Credentials::Nobody() : Credentials::Everyone(kDefaultTenant);
  if (!options.credentials_path.empty()) {
    ASSIGN_OR_RETURN(credentials, Credentials::ReadFile(options.credentials_path));
    ASSIGN_OR_RETURN(parsed, Credentials::FromJson(credentials));
  }
  std::unique_ptr<JwtVerifier> verifier;
  if (tokens) {
    auto content = ReadSmallFile(options.jwt_keys_path, JwtKeys::kMaxFileBytes);
    auto keys = content.ok() ? JwtKeys::FromJson(*content) : content.status();
    if (!keys.ok()) {
      return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidCredentials, "jwt-keys",
                       absl::StrCat("--jwt-keys: ", keys.status().message()));
    }
    jwt_keys = *std::move(content);
    verifier = std::make_unique<JwtVerifier>(JwtOptions{.issuer = options.jwt_issuer,
                                                        .audience = options.jwt_audience,
                                                        .tenant_claim = options.jwt_tenant_claim,
                                                        .roles_claim = options.jwt_roles_claim},
                                             *std::move(keys));
  }
  authenticator = std::make_unique<Authenticator>(std::move(parsed), std::move(verifier));
  return absl::OkStatus();
}

absl::Status Server::Rooms::ReadCertificate(const ListenOptions& options) {
  if (options.tls_cert_path.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(tls, TlsReloader::Create({.certificate_path = options.tls_cert_path,
                                             .key_path = options.tls_key_path,
                                             .client_ca_path = options.tls_client_ca_path},
                                            registry.metrics()));
  return absl::OkStatus();
}

void Server::Rooms::WatchCredentials(const ListenOptions& options) {
  if (!options.credentials_path.empty()) {
    reloaders.push_back(ReloadCredentials(
        options.credentials_path, std::move(credentials), kReloadInterval,
        [this](const TenantTable& tenants) { return adapters->LimitTenants(tenants); },
        *registry.metrics(), authenticator.get()));
  }
  if (authenticator->tokens() != nullptr) {
    reloaders.push_back(ReloadJwtKeys(options.jwt_keys_path, std::move(jwt_keys), kReloadInterval,
                                      *registry.metrics(), authenticator->tokens()));
  }
}

absl::Status Server::Rooms::BuildModel(const ServerConfig& config, ModelFacts* facts) {
  // Needed only until the executor has packed the weights.
  ASSIGN_OR_RETURN(const std::unique_ptr<WeightSource> source, OpenWeightSource(config.model.path));
  ASSIGN_OR_RETURN(tokenizer, LoadTokenizer(*source));
  ASSIGN_OR_RETURN(executor, CpuExecutor::Create(*source, ExecutorOptionsOf(config)));
  facts->name = ModelName(config.model.path);
  facts->fingerprint = source->fingerprint();
  facts->architecture = executor->base_spec().architecture;
  facts->dtype = DtypeName(config.model);
  facts->isa = kernels::IsaName(executor->kernel_table().isa);
  facts->server_version = LAMELLA_VERSION;
  facts->context_tokens = executor->limits().context_tokens;
  registry.SetBuildInfo(
      {.version = facts->server_version, .isa = facts->isa, .dtype = facts->dtype});
  return absl::OkStatus();
}

absl::Status Server::Rooms::BuildAdapters(const ServerConfig& config) {
  ASSIGN_OR_RETURN(adapters,
                   AdapterRooms::Build(config.adapters, {.base = &executor->base_spec(),
                                                         .kernels = &executor->kernel_table(),
                                                         .clock = &clock,
                                                         .metrics = registry.metrics(),
                                                         .authenticator = authenticator.get(),
                                                         .computing = &computing}));
  return absl::OkStatus();
}

absl::Status Server::Rooms::BuildEngine(const ServerConfig& config) {
  EngineDeps deps;
  deps.executor = executor.get();
  deps.tokenizer = tokenizer.get();
  deps.catalogue = adapters->catalogue();
  deps.residency = adapters->residency();
  deps.faults = adapters->faults();
  deps.clock = &clock;
  deps.metrics = registry.metrics();
  deps.tenants = authenticator.get();
  deps.computing = &computing;
  deps.recorder = recorder.get();
  EngineOptions options = EngineOptionsOf(config);
  options.base_fingerprint = executor->base_spec().fingerprint;
  ASSIGN_OR_RETURN(engine, Engine::Create(std::move(options), deps));
  sink = std::make_unique<EngineSink>(engine.get());
  return absl::OkStatus();
}

absl::Status Server::Rooms::Listen(const ServerConfig& config, const ModelFacts& facts) {
  // First, so that nobody is served by a server that then fails to start.
  if (!config.listen.metrics_address.empty()) {
    registry.SetTenantSource(
        [this] { return TenantStandings(*engine, *adapters, *authenticator, clock.Now()); });
    ASSIGN_OR_RETURN(exposer, MetricsExposer::Start(config.listen.metrics_address, registry));
  }
  RpcServerOptions admin = RpcOptionsOf(config.listen, tls.get());
  admin.address = config.listen.admin_address;
  admin.flag = "admin-listen";
  admin.require_client_certificate = config.listen.admin_require_client_cert;
  const auto load_of = [this](std::string_view tenant) { return engine->LoadOf(tenant); };
  RETURN_IF_ERROR(adapters->Listen(admin, load_of));
  ServiceDeps deps;
  deps.sink = sink.get();
  deps.tokenizer = tokenizer.get();
  deps.catalogue = adapters->catalogue();
  deps.metrics = registry.metrics();
  deps.recorder = recorder.get();
  deps.begin_traces = !config.telemetry.otlp_endpoint.empty();
  deps.authenticator = authenticator.get();
  deps.load_of = load_of;
  deps.facts = facts;
  deps.limits.request = engine->limits();
  deps.limits.max_prompt_tokens = engine->max_prompt_tokens();
  ASSIGN_OR_RETURN(rpc, RpcServer::Start(RpcOptionsOf(config.listen, tls.get()), deps));
  return absl::OkStatus();
}

void Server::Rooms::LogReady(const ServerConfig& config, const ModelFacts& facts,
                             absl::Time begin) const {
  const AdapterRooms::Counts counts = adapters->CountAdapters();
  LogInfo("ready", {{"address", AddressOf(config.listen.address, rpc->port())},
                    {"admin", AddressOf(config.listen.admin_address, adapters->port())},
                    {"tls", tls == nullptr ? "off" : "on"},
                    {"model", facts.name},
                    {"isa", facts.isa},
                    {"dtype", facts.dtype},
                    {"precision", kernels::MatmulPrecisionName(executor->kernel_table().precision)},
                    {"threads", config.model.threads},
                    {"adapters", counts.usable},
                    {"refused", counts.refused},
                    {"context_tokens", facts.context_tokens},
                    {"metrics_port", exposer == nullptr ? 0 : exposer->port()},
                    {"seconds", absl::ToDoubleSeconds(clock.Now() - begin)}});
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& wanted) {
  ServerConfig config = wanted;
  RETURN_IF_ERROR(config.FitTo(ReadMachineLimits()));
  auto rooms = std::make_unique<Rooms>(config);
  const absl::Time begin = rooms->clock.Now();
  ModelFacts facts;
  // First: a file that is wrong should not take the time of loading a model to say so.
  RETURN_IF_ERROR(rooms->ReadCredentials(config.listen));
  RETURN_IF_ERROR(rooms->ReadCertificate(config.listen));
  ASSIGN_OR_RETURN(rooms->recorder, MakeRecorder(config.telemetry, *rooms->registry.metrics()));
  RETURN_IF_ERROR(rooms->BuildModel(config, &facts));
  RETURN_IF_ERROR(rooms->BuildAdapters(config));
  RETURN_IF_ERROR(rooms->BuildEngine(config));
  RETURN_IF_ERROR(rooms->Listen(config, facts));
  rooms->WatchCredentials(config.listen);
  rooms->LogReady(config, facts, begin);
  return std::unique_ptr<Server>(new Server(std::move(rooms)));
}

Server::Server(std::unique_ptr<Rooms> rooms) : rooms_(std::move(rooms)) {}

// The engine ends every stream before the listener that carries them goes.
Server::~Server() { rooms_->engine->Stop(); }

int Server::port() const { return rooms_->rpc->port(); }

int Server::admin_port() const { return rooms_->adapters->port(); }

int Server::metrics_port() const {
  return rooms_->exposer == nullptr ? 0 : rooms_->exposer->port();
}

void Server::Drain(absl::Duration grace) {
  rooms_->registry.metrics()->draining.Set(1);
  rooms_->rpc->SetNotServing();
  rooms_->adapters->SetNotServing();
  rooms_->engine->BeginDrain(grace);
  LogInfo("draining", {{"in_flight", rooms_->engine->in_flight()},
                       {"grace_seconds", absl::ToDoubleSeconds(grace)}});
  rooms_->engine->Drain(grace);
  rooms_->adapters->Drain(kFlushGrace);
  rooms_->rpc->Shutdown(kFlushGrace);
  LogInfo("drained");
}

}  // namespace lamella
