// lamella-bench plain [--plain_shape=llama-3.2-1b] [--plain_rows=8] [--pairs=60] [--json] [--smoke]
//
// What traffic of the base model pays for adapters being there (law 7). Two engines over one
// executor decode the same base requests and are stepped by hand, in turn: one as a server with
// adapters has it, store, cache and catalogue, with eight adapters in memory of which one was
// just used; the other as a server without. A pair is a step of each.
#include <cstdio>
#include <future>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "adapters_store/folder_adapter_store.h"
#include "common/base/status_macros.h"
#include "server/engine/engine.h"
#include "server/lora/adapter_loader.h"
#include "server/lora/store_catalogue.h"
#include "server/model/cpu_executor.h"
#include "tests/bench/bench_adapters.h"
#include "tests/bench/commands.h"
#include "tests/bench/machine.h"
#include "tests/bench/random_source.h"
#include "tests/testing/fake_adapters.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/safetensors_writer.h"

ABSL_FLAG(std::string, plain_shape, "llama-3.2-1b", "random weights of this shape");
ABSL_FLAG(int32_t, plain_rows, 8, "sequences that decode");
ABSL_FLAG(int32_t, pairs, 60, "steps of each engine");
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, smoke);

namespace lamella::bench {
namespace {

constexpr int32_t kResident = 8;
constexpr int32_t kRank = 16;
constexpr int32_t kPromptTokens = 16;
constexpr int32_t kSettleSteps = 4;  // after the prompts

struct PlainReport {
  std::string shape;
  int32_t rows = 0;
  std::vector<double> with_ms;     // [pairs]
  std::vector<double> without_ms;  // [pairs]
};

// What a server with adapters has.
class Adapters {
 public:
  explicit Adapters(const CpuExecutor& executor)
      : base_(executor.base_spec()), kernels_(executor.kernel_table()) {}

  absl::Status Load() {
    for (int32_t i = 0; i < kResident; ++i) {
      const AdapterFile file =
          MakeAdapterFile(base_, kRank, static_cast<uint32_t>(i) + 1, DType::kBF16);
      dir_.Write(NameOf(i) + "/adapter_config.json", file.config_json);
      dir_.Write(NameOf(i) + "/adapter_model.safetensors", file.weights);
    }
    ASSIGN_OR_RETURN(store_, FolderAdapterStore::Open(dir_.path(), base_, AdapterLimits()));
    loader_ = std::make_unique<StoreAdapterLoader>(store_.get(), &base_, &kernels_);
    AdapterManagerOptions options;
    options.capacity_bytes = size_t{2} << 30;
    ASSIGN_OR_RETURN(manager_, AdapterManager::Create(options, loader_.get(), &clock_));
    catalogue_ = std::make_unique<StoreCatalogue>(store_.get(), manager_.get());
    for (int32_t i = 0; i < kResident; ++i) {
      ASSIGN_OR_RETURN(const AdapterRef ref, catalogue_->Resolve(kDefaultTenant, NameOf(i), ""));
      std::promise<void> settled;
      manager_->RequestLoad(ref, [&settled] { settled.set_value(); });
      settled.get_future().wait();
      RETURN_IF_ERROR(manager_->TryPin(ref).status());
    }
    return absl::OkStatus();
  }

  static std::string NameOf(int32_t index) { return absl::StrCat("resident-", index); }
  const AdapterCatalogue* catalogue() const { return catalogue_.get(); }
  AdapterResidency* residency() const { return manager_.get(); }

 private:
  const BaseSpec& base_;
  const kernels::KernelTable& kernels_;
  const testing::TempDir dir_;
  RealClock clock_;
  std::unique_ptr<AdapterStore> store_;
  std::unique_ptr<StoreAdapterLoader> loader_;
  std::unique_ptr<AdapterManager> manager_;
  std::unique_ptr<StoreCatalogue> catalogue_;
};

// An engine that decodes base requests.
class Side {
 public:
  Side(CpuExecutor* executor, const AdapterCatalogue* catalogue, AdapterResidency* residency)
      : deps_{executor, &tokenizer_, catalogue, residency, &clock_} {}

  // `first_adapter`: of a request that ends before the measurement; none if empty.
  absl::Status Start(int32_t rows, int32_t tokens, const std::string& first_adapter) {
    EngineOptions options;
    options.start_thread = false;
    options.step_tokens = deps_.executor->limits().max_rows;
    options.max_running = rows + 1;
    options.prefix_reuse = false;
    ASSIGN_OR_RETURN(engine_, Engine::Create(options, deps_));
    if (!first_adapter.empty()) RETURN_IF_ERROR(Submit(0, 1, first_adapter));
    for (int32_t i = 1; i <= rows; ++i) RETURN_IF_ERROR(Submit(i, tokens, ""));
    while (engine_->queued() > 0) engine_->Step();
    for (int32_t i = 0; i < kSettleSteps; ++i) engine_->Step();
    if (engine_->in_flight() == rows) return absl::OkStatus();
    return absl::InternalError("not all requests decode");
  }

  double StepMs() {
    const absl::Time begin = absl::Now();
    engine_->Step();
    return MillisecondsSince(begin);
  }

 private:
  absl::Status Submit(int32_t number, int32_t tokens, const std::string& adapter) {
    Request request;
    request.request_id = absl::StrCat(number);
    request.tenant = kDefaultTenant;
    request.adapter_id = adapter;
    request.prompt_is_text = false;
    for (int32_t i = 0; i < kPromptTokens; ++i) {
      request.prompt_token_ids.push_back((number * 31 + i * 7) % 256);
    }
    request.stop.max_tokens = tokens;
    request.stop.ignore_eos = true;
    ASSIGN_OR_RETURN(StreamReader reader, engine_->Submit(std::move(request)));
    readers_.push_back(std::move(reader));
    return absl::OkStatus();
  }

  RealClock clock_;
  FakeTokenizer tokenizer_;
  const EngineDeps deps_;
  std::vector<StreamReader> readers_;
  std::unique_ptr<Engine> engine_;
};

absl::StatusOr<PlainReport> Measure() {
  const bool smoke = absl::GetFlag(FLAGS_smoke);
  PlainReport report;
  report.shape = smoke ? "bench-small" : absl::GetFlag(FLAGS_plain_shape);
  report.rows = absl::GetFlag(FLAGS_plain_rows);
  const int32_t pairs = smoke ? 4 : absl::GetFlag(FLAGS_pairs);
  ASSIGN_OR_RETURN(ModelConfig config, NamedShape(report.shape));
  CpuExecutorOptions options;
  options.threads = ProcessorCount();
  ASSIGN_OR_RETURN(const auto executor, CpuExecutor::Create(RandomSource(config), options));
  Adapters adapters(*executor);
  RETURN_IF_ERROR(adapters.Load());
  FakeCatalogue no_catalogue;
  FakeResidency no_residency;
  Side with(executor.get(), adapters.catalogue(), adapters.residency());
  Side without(executor.get(), &no_catalogue, &no_residency);
  const int32_t tokens = pairs + kSettleSteps + report.rows + 2;
  RETURN_IF_ERROR(with.Start(report.rows, tokens, Adapters::NameOf(0)));
  RETURN_IF_ERROR(without.Start(report.rows, tokens, ""));
  for (int32_t i = 0; i < pairs; ++i) {
    // First and second by turns.
    if (i % 2 == 0) report.with_ms.push_back(with.StepMs());
    report.without_ms.push_back(without.StepMs());
    if (i % 2 != 0) report.with_ms.push_back(with.StepMs());
  }
  return report;
}

double MedianRatio(const PlainReport& report) {
  std::vector<double> ratios;
  for (size_t i = 0; i < report.with_ms.size(); ++i) {
    ratios.push_back(report.without_ms[i] / report.with_ms[i]);
  }
  return Median(std::move(ratios));
}

void PrintTable(const PlainReport& report) {
  PrintHead(absl::StrCat("random ", report.shape, ", ", report.rows, " base requests, ", kResident,
                         " adapters of rank ", kRank, " in memory or none at all"));
  std::printf("| figure | value |\n|---|---|\n");
  std::printf("| a step with adapters there, ms | %.3f |\n", Median(report.with_ms));
  std::printf("| without, ms | %.3f |\n", Median(report.without_ms));
  std::printf("| speed with over without, median of %zu pairs | %.4f |\n", report.with_ms.size(),
              MedianRatio(report));
}

void PrintJson(const PlainReport& report) {
  const nlohmann::json json = {{"machine", ProcessorName()},  {"cores", ProcessorCount()},
                               {"commit", CommitName()},      {"shape", report.shape},
                               {"rows", report.rows},         {"resident", kResident},
                               {"with_ms", report.with_ms},   {"without_ms", report.without_ms},
                               {"ratio", MedianRatio(report)}};
  std::printf("%s\n", json.dump(1).c_str());
}

}  // namespace

absl::Status PlainCommand() {
  if (absl::GetFlag(FLAGS_plain_rows) < 1 || absl::GetFlag(FLAGS_pairs) < 1) {
    return absl::InvalidArgumentError("--plain_rows and --pairs must be positive");
  }
  ASSIGN_OR_RETURN(const PlainReport report, Measure());
  absl::GetFlag(FLAGS_json) ? PrintJson(report) : PrintTable(report);
  return absl::OkStatus();
}

}  // namespace lamella::bench
