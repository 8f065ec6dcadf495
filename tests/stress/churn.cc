#include "tests/stress/churn.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/engine/engine.h"
#include "server/lora/adapter_loader.h"
#include "server/lora/store_catalogue.h"
#include "tests/stress/churn_ledger.h"
#include "tests/testing/fake_tokenizer.h"

namespace lamella::testing {
namespace {

constexpr int32_t kNames = 6;
constexpr int32_t kContents = 24;
constexpr int32_t kQuestions = 16;

std::string NameOf(uint32_t index) { return absl::StrCat("adapter-", index); }

// One stream, read to its end by whoever waits.
struct Reading {
  std::optional<StreamStarted> started;
  std::vector<int32_t> tokens;
  bool finished = false;
  absl::Status error;
};

Reading ReadToEnd(StreamReader reader) {
  Mutex mutex;
  CondVar changed;
  bool ready = false;
  Reading reading;
  reader.SetReadyCallback([&] {
    MutexLock lock(&mutex);
    ready = true;
    changed.NotifyAll();
  });
  while (!reading.finished && reading.error.ok()) {
    {
      MutexLock lock(&mutex);
      while (!ready) changed.Wait(&mutex);
      ready = false;
    }
    std::optional<StreamEvents> events = reader.TryRead();
    if (!events.has_value()) continue;
    if (events->started.has_value()) reading.started = events->started;
    for (const StreamDelta& delta : events->deltas) {
      reading.tokens.insert(reading.tokens.end(), delta.token_ids.begin(), delta.token_ids.end());
    }
    reading.finished = events->finished.has_value();
    reading.error = events->error;
  }
  // It must be gone before what its callback uses.
  reader = StreamReader();
  return reading;
}

// Everything that runs, in the order in which it is built.
struct World {
  RealClock clock;
  FakeTokenizer tokenizer;
  std::vector<ChurnContent> contents;
  std::unique_ptr<IsolatedAnswers> alone;
  std::unique_ptr<CpuExecutor> executor;
  std::unique_ptr<ChurnStore> store;
  std::unique_ptr<StoreAdapterLoader> loader;
  std::unique_ptr<AdapterManager> manager;
  std::unique_ptr<StoreCatalogue> catalogue;
  std::unique_ptr<Engine> engine;

  absl::Status Build(const std::string& dir);
  absl::Status BuildEngine();
  double DistinctShare();
};

absl::Status World::Build(const std::string& dir) {
  ASSIGN_OR_RETURN(auto reference, MakeChurnExecutor());
  alone = std::make_unique<IsolatedAnswers>(std::move(reference));
  ASSIGN_OR_RETURN(executor, MakeChurnExecutor());
  const BaseSpec& base = executor->base_spec();
  for (uint32_t i = 0; i < kContents; ++i) {
    contents.push_back(MakeChurnContent(base, 100 + i));
    alone->Add(contents.back());
  }
  ASSIGN_OR_RETURN(store, OpenChurnStore(dir, base, &clock));
  loader = std::make_unique<StoreAdapterLoader>(&store->store(), &base, &executor->kernel_table());
  return BuildEngine();
}

absl::Status World::BuildEngine() {
  AdapterManagerOptions options;
  options.first_use_timeout = absl::Milliseconds(200);
  options.failure_backoff = absl::Milliseconds(10);
  // Two and a half adapters.
  std::vector<LoraModuleShape> shapes;
  for (const BaseModule& module : executor->base_spec().modules) {
    shapes.push_back({module.layer, module.kind, 4, module.in_features, module.out_features, 1.0F});
  }
  options.capacity_bytes =
      ComputeAdapterSize(shapes, executor->base_spec().num_layers(), executor->kernel_table())
          .resident_bytes *
      5 / 2;
  ASSIGN_OR_RETURN(manager, AdapterManager::Create(options, loader.get(), &clock));
  store->Join(manager.get());
  catalogue = std::make_unique<StoreCatalogue>(&store->store(), manager.get());
  EngineOptions engine_options;
  engine_options.step_tokens = 48;
  engine_options.prefill_chunk_tokens = 8;
  engine_options.max_running = 16;
  engine_options.adapter_retry = absl::Milliseconds(5);
  ASSIGN_OR_RETURN(engine,
                   Engine::Create(engine_options, {executor.get(), &tokenizer, catalogue.get(),
                                                   manager.get(), &clock, nullptr}));
  return absl::OkStatus();
}

double World::DistinctShare() {
  int32_t pairs = 0;
  int32_t distinct = 0;
  for (int32_t a = 0; a < kContents; ++a) {
    for (int32_t b = -1; b < a; ++b) {
      ++pairs;
      if (alone->Answer(a, 0) != alone->Answer(b, 0)) ++distinct;
    }
  }
  return static_cast<double>(distinct) / pairs;
}

class Churn {
 public:
  Churn(const ChurnOptions& options, World* world) : options_(options), world_(*world) {}

  absl::StatusOr<ChurnFigures> Run();

 private:
  void WaitUntil(absl::Time when) EXCLUDES(mutex_);
  void Change(std::mt19937* random);
  void Upload(const std::string& name, int32_t content, bool live);
  void Switch(const std::string& name, const std::string& version);
  void Serve(uint32_t seed);
  void Ask(std::mt19937* random);
  void Judge(const Reading& reading, const std::string& wanted, int32_t question);
  void Fault(int64_t ChurnFigures::*count, int64_t by, const std::string& what);
  void Count(int64_t ChurnFigures::*count, int64_t by = 1) EXCLUDES(mutex_) {
    MutexLock lock(&mutex_);
    figures_.*count += by;
  }

  const ChurnOptions options_;
  World& world_;
  ChurnLedger ledger_;
  std::atomic<bool> done_ = false;
  std::atomic<int64_t> compared_ = 0;
  absl::Time end_ = absl::InfiniteFuture();
  Mutex mutex_;
  CondVar nothing_;  // never notified: a clock to wait on
  ChurnFigures figures_ GUARDED_BY(mutex_);
};

void Churn::Fault(int64_t ChurnFigures::*count, int64_t by, const std::string& what) {
  MutexLock lock(&mutex_);
  figures_.*count += by;
  if (figures_.first_fault.empty()) figures_.first_fault = what;
}

void Churn::WaitUntil(absl::Time when) {
  MutexLock lock(&mutex_);
  while (!done_) {
    const absl::Duration left = when - world_.clock.Now();
    if (left <= absl::ZeroDuration()) return;
    nothing_.WaitFor(&mutex_, left);
  }
}

void Churn::Switch(const std::string& name, const std::string& version) {
  ledger_.BeginSwitch(name, version);
  const absl::Status status = world_.store->SetAlias(name, "live", version);
  ledger_.EndSwitch(name, version, status.ok());
  // It may have been deleted meanwhile.
  if (status.ok()) {
    Count(&ChurnFigures::switches);
  } else if (!absl::IsNotFound(status)) {
    Fault(&ChurnFigures::unexpected, 1, status.ToString());
  }
}

void Churn::Upload(const std::string& name, int32_t content, bool live) {
  const auto version =
      world_.store->Upload(name, world_.contents[static_cast<size_t>(content)], "");
  if (!version.ok()) return Fault(&ChurnFigures::unexpected, 1, version.status().ToString());
  ledger_.AddVersion(name, *version, content);
  Count(&ChurnFigures::uploads);
  if (live) Switch(name, *version);
}

void Churn::Change(std::mt19937* random) {
  const std::string name = NameOf((*random)() % kNames);
  const std::string version = ledger_.AnyVersion(name, (*random)());
  switch ((*random)() % 4) {
    case 0:
      return Upload(name, static_cast<int32_t>((*random)() % kContents), (*random)() % 2 == 0);
    case 1:
      return Switch(name, version);
    case 2:
      world_.manager->Drop({kChurnTenant, name, version});
      return Count(&ChurnFigures::evictions);
    default:
      if (version == ledger_.LiveOf(name).version) return;
      if (!world_.store->DeleteVersion(name, version).ok()) return;
      ledger_.RemoveVersion(name, version);
      return Count(&ChurnFigures::deletions);
  }
}

void Churn::Serve(uint32_t seed) {
  std::mt19937 random(seed);
  while (!done_) {
    Ask(&random);
    if (compared_ >= options_.tokens || world_.clock.Now() >= end_) done_ = true;
  }
}

void Churn::Ask(std::mt19937* random) {
  const uint32_t kind = (*random)() % 10;
  const std::string name = NameOf((*random)() % kNames);
  const auto question = static_cast<int32_t>((*random)() % kQuestions);
  const ChurnQuestion asked = MakeChurnQuestion(question);
  Request request;
  request.request_id = "churn";
  request.tenant = kChurnTenant;
  request.prompt_is_text = false;
  request.prompt_token_ids = asked.prompt;
  request.sampling = asked.sampling;
  request.stop.max_tokens = 1 + static_cast<int32_t>((*random)() % kChurnAnswerTokens);
  request.stop.ignore_eos = true;
  std::string wanted;  // "": any that was live
  const ChurnLedger::Live before = ledger_.LiveOf(name);
  if (kind >= 7 && kind < 9) {
    wanted = ledger_.AnyVersion(name, (*random)());
    request.adapter_id = absl::StrCat(name, "@sha256:", wanted);
  } else if (kind < 7) {
    request.adapter_id = name;
  }
  auto reader = world_.engine->Submit(std::move(request));
  if (kind < 7 && before.epoch % 2 == 0 && ledger_.LiveOf(name).epoch == before.epoch) {
    wanted = before.version;
  }
  Reading reading;
  if (reader.ok()) {
    reading = ReadToEnd(*std::move(reader));
  } else {
    reading.error = reader.status();
  }
  if (kind < 7 && reading.started.has_value() && wanted.empty() &&
      ledger_.WasLive(name, reading.started->version)) {
    wanted = reading.started->version;
  }
  Judge(reading, wanted, question);
}

void Churn::Judge(const Reading& reading, const std::string& wanted, int32_t question) {
  if (!reading.error.ok()) {
    const std::string reason = ErrorReason(reading.error);
    if (reason == reasons::kAdapterNotFound || reason == reasons::kAdapterLoading ||
        reason == reasons::kQueueFull) {
      Count(&ChurnFigures::refused);
    } else {
      Fault(&ChurnFigures::unexpected, 1, reading.error.ToString());
    }
  }
  if (!reading.started.has_value()) return;
  const std::string& version = reading.started->version;
  const auto content = ledger_.ContentOf(version);
  if (version != wanted || !content.has_value()) {
    return Fault(&ChurnFigures::mismatches, static_cast<int64_t>(reading.tokens.size()) + 1,
                 absl::StrCat("asked for ", wanted, ", got ", version));
  }
  const std::vector<int32_t> alone = world_.alone->Answer(*content, question);
  int64_t wrong = 0;
  for (size_t i = 0; i < reading.tokens.size(); ++i) {
    if (i >= alone.size() || reading.tokens[i] != alone[i]) ++wrong;
  }
  const auto tokens = static_cast<int64_t>(reading.tokens.size());
  if (wrong > 0) {
    Fault(&ChurnFigures::mismatches, wrong,
          absl::StrCat(wrong, " of ", tokens, " tokens of version ", version, " differ"));
  }
  compared_ += tokens;
  Count(&ChurnFigures::tokens, tokens);
  if (reading.finished) Count(&ChurnFigures::answers);
}

absl::StatusOr<ChurnFigures> Churn::Run() {
  for (uint32_t i = 0; i < kNames; ++i) {
    Upload(NameOf(i), static_cast<int32_t>(i), /*live=*/true);
  }
  const absl::Time begin = world_.clock.Now();
  end_ = begin + options_.time_limit;
  std::vector<std::thread> threads;
  for (int32_t i = 0; i < options_.clients; ++i) {
    threads.emplace_back([this, i] { Serve(options_.seed * 1000 + static_cast<uint32_t>(i)); });
  }
  std::mt19937 random(options_.seed);
  for (absl::Time next = begin; !done_; next += options_.interval) {
    WaitUntil(next);
    Change(&random);
  }
  for (std::thread& thread : threads) thread.join();
  world_.engine->Drain(absl::Seconds(30));
  world_.engine->Stop();
  RETURN_IF_ERROR(world_.engine->CheckIntegrity());
  const AdapterManager::Stats stats = world_.manager->stats();
  if (stats.cache.resident_bytes > stats.cache.capacity_bytes) {
    return absl::InternalError("the cache is over its capacity");
  }
  const double distinct_share = world_.DistinctShare();
  MutexLock lock(&mutex_);
  figures_.loads = static_cast<int64_t>(stats.loads);
  figures_.distinct_share = distinct_share;
  figures_.seconds = absl::ToDoubleSeconds(world_.clock.Now() - begin);
  return figures_;
}

}  // namespace

absl::StatusOr<ChurnFigures> RunChurn(const ChurnOptions& options, const std::string& dir) {
  World world;
  RETURN_IF_ERROR(world.Build(dir));
  return Churn(options, &world).Run();
}

}  // namespace lamella::testing
