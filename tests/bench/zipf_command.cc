// lamella-bench zipf [--adapters=1000] [--requests=1500] [--rounds=5] [--json] [--smoke]
//
// Throughput of the engine, closed loop of 16 requests, when adapters are asked for by Zipf's law
// (exponent 1.0): with a cache of half the adapters' bytes against one of all of them; and the hit
// rate beside that of a model of the cache, an exact LRU of as many bytes that sees the same
// requests one after the other. The base has random weights; an answer has 16 tokens.
#include <cstdio>
#include <list>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "adapters_store/folder_adapter_store.h"
#include "common/base/mailbox.h"
#include "common/base/status_macros.h"
#include "server/engine/engine.h"
#include "server/lora/adapter_loader.h"
#include "server/lora/store_catalogue.h"
#include "server/model/cpu_executor.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/bench/bench_adapters.h"
#include "tests/bench/commands.h"
#include "tests/bench/machine.h"
#include "tests/bench/random_source.h"
#include "tests/bench/zipf_draw.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/safetensors_writer.h"

ABSL_FLAG(int32_t, adapters, 1000, "adapters that are asked for");
ABSL_FLAG(int32_t, requests, 1500, "of each round and cache");
ABSL_DECLARE_FLAG(int32_t, rounds);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, smoke);

namespace lamella::bench {
namespace {

constexpr int32_t kInFlight = 16;
constexpr int32_t kRank = 8;
constexpr int32_t kPromptTokens = 8;
constexpr int32_t kAnswerTokens = 16;

std::string NameOf(size_t index) { return absl::StrCat("adapter-", index); }

// What an exact LRU of `capacity` equal entries would answer.
class LruModel {
 public:
  explicit LruModel(size_t capacity) : capacity_(capacity) {}
  bool Use(size_t key) {
    const auto found = where_.find(key);
    const bool hit = found != where_.end();
    if (hit) order_.erase(found->second);
    order_.push_back(key);
    where_[key] = std::prev(order_.end());
    if (order_.size() > capacity_) {
      where_.erase(order_.front());
      order_.pop_front();
    }
    return hit;
  }

 private:
  const size_t capacity_;
  std::list<size_t> order_;  // coldest first
  std::unordered_map<size_t, std::list<size_t>::iterator> where_;
};

// One cache size: an engine that keeps its cache from round to round.
class Side {
 public:
  Side(CpuExecutor* executor, const AdapterStore* store, size_t adapters, size_t resident)
      : executor_(executor),
        loader_(store, &executor->base_spec(), &executor->kernel_table()),
        store_(store),
        draw_(adapters, 1.0, 7),
        model_(resident) {}

  absl::Status Start(size_t capacity_bytes) {
    AdapterManagerOptions options;
    options.capacity_bytes = capacity_bytes;
    ASSIGN_OR_RETURN(manager_,
                     AdapterManager::Create(options, &loader_, &clock_, *registry_.metrics()));
    catalogue_ = std::make_unique<StoreCatalogue>(store_, manager_.get());
    return absl::OkStatus();
  }

  // Loads the `count` most wanted adapters, the most wanted last.
  absl::Status Preload(size_t count) {
    for (size_t i = count; i-- > 0;) {
      ASSIGN_OR_RETURN(const AdapterRef ref, catalogue_->Resolve(kDefaultTenant, NameOf(i), ""));
      manager_->RequestLoad(ref, [this] { settled_.Push(1); });
      std::vector<int32_t> settled;
      while (settled.empty()) {
        settled_.WaitFor(absl::InfiniteDuration());
        settled_.DrainTo(&settled);
      }
      RETURN_IF_ERROR(manager_->TryPin(ref).status());
      model_.Use(i);
    }
    return absl::OkStatus();
  }

  // The executor is this side's for the time.
  absl::Status Round(int32_t requests, bool counted) {
    EngineOptions options;
    options.step_tokens = 128;
    options.max_running = kInFlight;
    ASSIGN_OR_RETURN(const auto engine,
                     Engine::Create(options, {executor_, &tokenizer_, catalogue_.get(),
                                              manager_.get(), &clock_, registry_.metrics()}));
    const double hits = registry_.metrics()->adapter_cache_hits.Value();
    int32_t model_hits = 0;
    const absl::Time begin = absl::Now();
    RETURN_IF_ERROR(Serve(engine.get(), requests, &model_hits));
    const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
    if (!counted) return absl::OkStatus();
    tokens_per_second_.push_back(requests * kAnswerTokens / seconds);
    hits_ += registry_.metrics()->adapter_cache_hits.Value() - hits;
    model_hits_ += model_hits;
    requests_ += requests;
    return absl::OkStatus();
  }

  double tokens_per_second() const { return Median(tokens_per_second_); }
  double hit_rate() const { return hits_ / requests_; }
  double model_hit_rate() const { return model_hits_ / requests_; }
  AdapterManager::Stats stats() const { return manager_->stats(); }

 private:
  absl::Status Serve(Engine* engine, int32_t requests, int32_t* model_hits) {
    // Places of requests that ended. What callbacks write to outlives the readers.
    Mailbox<int32_t> ended(kInFlight);
    std::vector<absl::Status> errors(kInFlight);
    std::vector<StreamReader> readers(kInFlight);
    std::vector<int32_t> free;
    for (int32_t i = 0; i < kInFlight; ++i) free.push_back(i);
    int32_t submitted = 0;
    int32_t done = 0;
    while (done < requests) {
      for (const int32_t place : free) {
        if (submitted == requests) break;
        ++submitted;
        const size_t adapter = draw_.Next();
        if (model_.Use(adapter)) ++*model_hits;
        ASSIGN_OR_RETURN(StreamReader reader, engine->Submit(RequestFor(adapter, submitted)));
        StreamReader& kept = readers[static_cast<size_t>(place)] = std::move(reader);
        absl::Status& error = errors[static_cast<size_t>(place)];
        kept.SetReadyCallback([&kept, &error, &ended, place] {
          const std::optional<StreamEvents> events = kept.TryRead();
          if (!events.has_value() || !events->terminal()) return;
          error = events->error;
          ended.Push(int32_t{place});
        });
      }
      ended.WaitFor(absl::InfiniteDuration());
      ended.DrainTo(&free);
      done += static_cast<int32_t>(free.size());
      for (const int32_t place : free) RETURN_IF_ERROR(errors[static_cast<size_t>(place)]);
    }
    return absl::OkStatus();
  }

  Request RequestFor(size_t adapter, int32_t number) const {
    Request request;
    request.request_id = "zipf";
    request.tenant = kDefaultTenant;
    request.adapter_id = NameOf(adapter);
    request.prompt_is_text = false;
    for (int32_t i = 0; i < kPromptTokens; ++i) {
      request.prompt_token_ids.push_back((number * 31 + i * 7) % 256);
    }
    request.stop.max_tokens = kAnswerTokens;
    request.stop.ignore_eos = true;
    return request;
  }

  CpuExecutor* const executor_;
  const StoreAdapterLoader loader_;
  const AdapterStore* const store_;
  RealClock clock_;
  FakeTokenizer tokenizer_;
  MetricsRegistry registry_;
  Mailbox<int32_t> settled_{1};  // what a load of Preload says
  std::unique_ptr<AdapterManager> manager_;
  std::unique_ptr<StoreCatalogue> catalogue_;
  ZipfDraw draw_;
  LruModel model_;
  std::vector<double> tokens_per_second_;
  double hits_ = 0;
  double model_hits_ = 0;
  double requests_ = 0;
};

struct ZipfReport {
  size_t adapters = 0;
  size_t adapter_bytes = 0;  // resident, of each
  double all_tokens_per_second = 0;
  double half_tokens_per_second = 0;
  double hit_rate = 0;
  double model_hit_rate = 0;
  double resident_share = 0;  // charged over packed, of all that is resident
  uint64_t evictions = 0;
};

void WriteAdapters(const BaseSpec& base, size_t count, const testing::TempDir& dir) {
  for (size_t i = 0; i < count; ++i) {
    const AdapterFile file =
        MakeAdapterFile(base, kRank, static_cast<uint32_t>(i) + 1, DType::kBF16);
    dir.Write(NameOf(i) + "/adapter_config.json", file.config_json);
    dir.Write(NameOf(i) + "/adapter_model.safetensors", file.weights);
  }
}

absl::StatusOr<ZipfReport> Measure() {
  const bool smoke = absl::GetFlag(FLAGS_smoke);
  ZipfReport report;
  report.adapters = smoke ? 20 : static_cast<size_t>(absl::GetFlag(FLAGS_adapters));
  const int32_t requests = smoke ? 60 : absl::GetFlag(FLAGS_requests);
  ASSIGN_OR_RETURN(ModelConfig config, NamedShape("bench-small"));
  CpuExecutorOptions options;
  options.threads = ProcessorCount();
  ASSIGN_OR_RETURN(const auto executor, CpuExecutor::Create(RandomSource(config), options));
  const testing::TempDir dir;
  WriteAdapters(executor->base_spec(), report.adapters, dir);
  ASSIGN_OR_RETURN(const auto store,
                   FolderAdapterStore::Open(dir.path(), executor->base_spec(), AdapterLimits()));
  ASSIGN_OR_RETURN(const StoredVersion version, store->Resolve(kDefaultTenant, NameOf(0), ""));
  report.adapter_bytes =
      ResidentBytesBound(version, executor->base_spec(), executor->kernel_table());
  const size_t half = report.adapters / 2;
  Side all_side(executor.get(), store.get(), report.adapters, report.adapters);
  Side half_side(executor.get(), store.get(), report.adapters, half);
  RETURN_IF_ERROR(all_side.Start(report.adapters * report.adapter_bytes));
  RETURN_IF_ERROR(half_side.Start(half * report.adapter_bytes));
  RETURN_IF_ERROR(all_side.Preload(report.adapters));
  RETURN_IF_ERROR(half_side.Preload(half));
  RETURN_IF_ERROR(all_side.Round(requests / 4, /*counted=*/false));
  RETURN_IF_ERROR(half_side.Round(requests / 2, /*counted=*/false));
  for (int32_t round = 0; round < (smoke ? 1 : absl::GetFlag(FLAGS_rounds)); ++round) {
    RETURN_IF_ERROR(all_side.Round(requests, /*counted=*/true));
    RETURN_IF_ERROR(half_side.Round(requests, /*counted=*/true));
  }
  report.all_tokens_per_second = all_side.tokens_per_second();
  report.half_tokens_per_second = half_side.tokens_per_second();
  report.hit_rate = half_side.hit_rate();
  report.model_hit_rate = half_side.model_hit_rate();
  const AdapterManager::Stats stats = half_side.stats();
  report.resident_share =
      static_cast<double>(stats.cache.resident_bytes) / static_cast<double>(stats.packed_bytes);
  report.evictions = stats.cache.evictions;
  return report;
}

double Share(const ZipfReport& report) {
  return report.half_tokens_per_second / report.all_tokens_per_second;
}

void PrintTable(const ZipfReport& report) {
  PrintHead(absl::StrCat(report.adapters, " adapters of ", report.adapter_bytes / 1000,
                         " kB, asked for by Zipf's law (1.0), ", kInFlight, " requests at a time"));
  std::printf("| figure | value |\n|---|---|\n");
  std::printf("| all resident, tok/s | %.0f |\n", report.all_tokens_per_second);
  std::printf("| cache of half the bytes, tok/s | %.0f |\n", report.half_tokens_per_second);
  std::printf("| share of all resident | %.1f%% |\n", 100 * Share(report));
  std::printf("| hit rate | %.1f%% |\n", 100 * report.hit_rate);
  std::printf("| hit rate of an LRU model | %.1f%% |\n", 100 * report.model_hit_rate);
  std::printf("| evictions | %llu |\n", static_cast<unsigned long long>(report.evictions));
  std::printf("| resident / packed bytes | %.4f |\n", report.resident_share);
}

void PrintJson(const ZipfReport& report) {
  const nlohmann::json json = {{"machine", ProcessorName()},
                               {"cores", ProcessorCount()},
                               {"isa", kernels::IsaName(kernels::BestIsa())},
                               {"commit", CommitName()},
                               {"adapters", report.adapters},
                               {"adapter_bytes", report.adapter_bytes},
                               {"all_tokens_per_second", report.all_tokens_per_second},
                               {"half_tokens_per_second", report.half_tokens_per_second},
                               {"throughput_share", Share(report)},
                               {"hit_rate", report.hit_rate},
                               {"model_hit_rate", report.model_hit_rate},
                               {"evictions", report.evictions},
                               {"resident_share", report.resident_share}};
  std::printf("%s\n", json.dump(1).c_str());
}

}  // namespace

absl::Status ZipfCommand() {
  ASSIGN_OR_RETURN(const ZipfReport report, Measure());
  absl::GetFlag(FLAGS_json) ? PrintJson(report) : PrintTable(report);
  return absl::OkStatus();
}

}  // namespace lamella::bench
