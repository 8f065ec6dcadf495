// A random life of the engine, drawn from one seed: arrivals, cancels, slow loads, failing loads and
// steps, non-finite rows, a full cache, too few KV blocks, tenants with limits, deadlines and drains.
// After every step nothing may be lost; at the end everyone has one end, and who finished has exactly
// the tokens that it would have had alone. A failing seed is printed; LAMELLA_SIMULATION_SEED=N runs
// that one alone, LAMELLA_SIMULATION_SEEDS=N the first N.
#include <cstdlib>
#include <random>

#include "common/base/error.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/engine/engine_fixture.h"
#include "tests/testing/fake_tenants.h"

namespace lamella {
namespace {

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : random_(seed), residency_(1 + Draw(4)) {
    options_.start_thread = false;
    options_.max_running = 1 + static_cast<int32_t>(Draw(8));
    options_.step_tokens = options_.max_running + 1 + static_cast<int32_t>(Draw(20));
    options_.prefill_chunk_tokens = 1 + static_cast<int32_t>(Draw(16));
    options_.admission.max_queued = 4 + static_cast<int32_t>(Draw(20));
    options_.stream_buffer_bytes = 100 + static_cast<int64_t>(Draw(400));
    options_.adapter_wait = absl::Milliseconds(50 + static_cast<int64_t>(Draw(500)));
    options_.adapter_retry = absl::Milliseconds(20);
    options_.seed = seed + 1;
    options_.kv_overcommit = Chance(2) ? 1.0 : 1.0 + static_cast<double>(Draw(40)) / 10;
    options_.prefix_reuse = !Chance(4);
    options_.share_base_prefixes = Chance(4);
    options_.policy = Chance(2) ? EngineOptions::Policy::kVtc : EngineOptions::Policy::kFcfs;
    executor_.TakeTime(&clock_, absl::Milliseconds(1 + static_cast<int64_t>(Draw(10))));
    executor_.Poison('!');
    adapters_.emplace_back();
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      adapters_.push_back(catalogue_.SetLive(name[0] < 'd' ? "t" : "u", name, name));
    }
    tenants_["t"].weight = 1 + static_cast<double>(Draw(4));
    tenants_["u"].max_in_flight = Chance(2) ? 3 : 0;
    tenants_["u"].max_queued_tokens = Chance(3) ? 100 : 0;
    tenants_["u"].tokens_per_minute = Chance(3) ? 2000 : 0;
    if (Chance(3)) options_.admission.max_queue_wait = absl::Milliseconds(200);
    EngineDeps deps;
    deps.executor = &executor_;
    deps.tokenizer = &tokenizer_;
    deps.catalogue = &catalogue_;
    deps.residency = &residency_;
    deps.clock = &clock_;
    deps.metrics = registry_.metrics();
    deps.tenants = &tenants_;
    engine_ = *Engine::Create(options_, deps);
  }

  void Run() {
    for (int i = 0; i < 120; ++i) {
      Disturb();
      Step();
    }
    if (Chance(3)) engine_->BeginDrain(absl::Milliseconds(static_cast<int64_t>(Draw(300))));
    residency_.HoldLoads(false);
    residency_.FinishLoads();
    for (int i = 0; i < 5000 && engine_->in_flight() > 0; ++i) {
      if (!Step()) clock_.Advance(absl::Milliseconds(5));
    }
    EXPECT_EQ(engine_->in_flight(), 0);
    EXPECT_EQ(residency_.pins(), 0);
    for (Client& client : clients_) Judge(&client);
  }

  const Metrics& metrics() { return *registry_.metrics(); }

 private:
  struct Client {
    AdapterRef adapter;
    std::vector<int32_t> prompt;
    int32_t max_tokens = 0;
    int32_t n = 1;
    SamplingParams sampling;
    bool reads = true;
    bool gone = false;
    Recorded recorded;
  };

  uint64_t Draw(uint64_t below) { return random_() % below; }
  bool Chance(uint64_t one_in) { return Draw(one_in) == 0; }

  bool Step() {
    const bool ran = engine_->Step();
    EXPECT_EQ(engine_->CheckIntegrity(), absl::OkStatus());
    for (Client& client : clients_) {
      if (client.reads && !client.gone) client.recorded.Read();
    }
    return ran;
  }

  void Disturb() {
    for (uint64_t n = Draw(3); n > 0; --n) Arrive();
    if (Chance(10)) residency_.HoldLoads(Chance(2));
    if (Chance(6)) residency_.FinishLoads();
    if (Chance(12)) residency_.Evict(adapters_[1 + Draw(5)]);
    if (Chance(20)) {
      const std::vector<AdapterRef> loading = residency_.Loading();
      if (!loading.empty()) {
        residency_.FailLoad(loading[0], MakeError(absl::StatusCode::kDataLoss,
                                                  reasons::kDigestMismatch, "", "broken"));
      }
    }
    if (Chance(25)) executor_.FailNextStep(absl::InternalError("the simulation says so"));
    if (!clients_.empty() && Chance(8)) {
      Client& client = clients_[Draw(clients_.size())];
      if (client.recorded.reader && Chance(2)) client.recorded.reader.Cancel();
      if (Chance(3)) {
        client.gone = true;
        client.recorded.reader = StreamReader();
      }
    }
  }

  void Arrive() {
    Client client;
    client.adapter = adapters_[Draw(adapters_.size())];
    const char letter = Chance(15) ? '!' : static_cast<char>('A' + Draw(26));
    // Beginnings that many share, and ends of their own.
    std::string prompt(1 + Draw(60), letter);
    if (Chance(2)) prompt += std::string(Draw(8), static_cast<char>('a' + Draw(26)));
    Request request = MakeRequest(prompt, 1 + static_cast<int32_t>(Draw(80)), client.adapter.name);
    request.n = Chance(4) ? 1 + static_cast<int32_t>(
                                    Draw(static_cast<uint64_t>(std::min(options_.max_running, 3))))
                          : 1;
    request.tenant = client.adapter.is_base() ? (Chance(2) ? "t" : "u") : client.adapter.tenant;
    request.priority = static_cast<Priority>(Draw(3));
    if (Chance(5)) request.cache_salt = "salt";
    if (Chance(2)) request.sampling.temperature = 0.7f;
    if (Chance(6)) {
      request.deadline = clock_.Now() + absl::Milliseconds(static_cast<int64_t>(Draw(200)));
    }
    client.prompt = Bytes(prompt);
    client.n = request.n;
    client.max_tokens =
        std::min<int32_t>(request.stop.max_tokens, 128 - static_cast<int32_t>(prompt.size()));
    client.sampling = request.sampling;
    client.reads = !Chance(10);
    absl::StatusOr<StreamReader> reader = engine_->Submit(std::move(request));
    if (!reader.ok()) {
      EXPECT_NE(ErrorReason(reader.status()), "") << reader.status();
      return;
    }
    client.recorded.reader = *std::move(reader);
    clients_.push_back(std::move(client));
  }

  void Judge(Client* client) {
    if (client->gone) return;
    client->recorded.Read();
    Recorded& recorded = client->recorded;
    EXPECT_EQ(recorded.terminals, 1);
    if (!recorded.started.has_value()) return;
    EXPECT_EQ(recorded.started->version, client->adapter.version);
    client->sampling.seed = recorded.started->seed;
    EXPECT_LE(recorded.started->cached_tokens, static_cast<int32_t>(client->prompt.size()) - 1);
    if (!recorded.finished.has_value()) {
      EXPECT_NE(ErrorReason(recorded.error), "") << recorded.error;
    } else {
      EXPECT_EQ(recorded.finished->choices.size(), static_cast<size_t>(client->n));
    }
    for (int32_t choice = 0; choice < client->n; ++choice) JudgeChoice(*client, choice);
  }

  static void JudgeChoice(Client& client, int32_t choice) {
    const std::vector<int32_t>& told = client.recorded.choices[choice].token_ids;
    const std::vector<int32_t> alone = PuppetExecutor::Alone(
        client.adapter, client.prompt, client.max_tokens, client.sampling, choice);
    if (client.recorded.finished.has_value()) {
      EXPECT_EQ(told, alone);
      return;
    }
    // Even a failed stream never showed a wrong token.
    ASSERT_LE(told.size(), alone.size());
    EXPECT_TRUE(std::equal(told.begin(), told.end(), alone.begin()));
  }

  std::mt19937_64 random_;
  MetricsRegistry registry_;
  FakeClock clock_;
  FakeTokenizer tokenizer_;
  FakeCatalogue catalogue_;
  FakeResidency residency_;
  PuppetExecutor executor_{PuppetExecutor::SmallLimits()};
  EngineOptions options_;
  FakeTenants tenants_;
  std::vector<AdapterRef> adapters_;
  std::unique_ptr<Engine> engine_;
  std::vector<Client> clients_;
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

TEST(SimulationTest, NoSeedBreaksALaw) {
  const uint64_t only = FromEnvironment("LAMELLA_SIMULATION_SEED", 0);
  const uint64_t first = only == 0 ? 1 : only;
  const uint64_t last = only == 0 ? FromEnvironment("LAMELLA_SIMULATION_SEEDS", 2000) : only;
  double preemptions = 0;
  double replacements = 0;
  double cached_tokens = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    Simulation simulation(seed);
    simulation.Run();
    preemptions += simulation.metrics().preemptions.Value();
    replacements += simulation.metrics().replacements.Value();
    cached_tokens += simulation.metrics().cached_tokens.Value();
    if (HasFailure()) {
      FAIL() << "seed " << seed << ": LAMELLA_SIMULATION_SEED=" << seed << " runs it alone";
    }
  }
  RecordProperty("seeds", static_cast<int>(last - first + 1));
  RecordProperty("preemptions", static_cast<int>(preemptions));
  RecordProperty("replacements", static_cast<int>(replacements));
  RecordProperty("cached_tokens", static_cast<int>(cached_tokens));
  if (only != 0) return;
  // A life without these would say nothing about them.
  EXPECT_GT(preemptions, 0);
  EXPECT_GT(replacements, 0);
  EXPECT_GT(cached_tokens, 0);
}

}  // namespace
}  // namespace lamella
