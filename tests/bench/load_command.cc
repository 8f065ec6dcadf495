// lamella-bench load [--rounds=5] [--residents=1,100,1000] [--file_dtype=F32|BF16|F16]
//                    [--json] [--smoke]
//
// From the request for a load to the first pin, of an adapter of 20 MB whose file is in the page
// cache: the first load in a process, which verifies the file's SHA-256, and later ones; with
// 1, 100 and 1,000 other adapters in memory. Also what is charged for an adapter beside its packed
// matrices.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/mutex.h"
#include "common/base/status_macros.h"
#include "server/lora/adapter_loader.h"
#include "server/lora/adapter_manager.h"
#include "tests/bench/bench_adapters.h"
#include "tests/bench/commands.h"
#include "tests/bench/machine.h"
#include "tests/testing/safetensors_writer.h"

ABSL_FLAG(std::vector<std::string>, residents, (std::vector<std::string>{"1", "100", "1000"}),
          "other adapters in memory");
ABSL_FLAG(std::string, file_dtype, "F32", "of the adapter's tensors: F32, BF16 or F16");
ABSL_DECLARE_FLAG(int32_t, rounds);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, smoke);

namespace lamella::bench {
namespace {

constexpr size_t kCapacityBytes = size_t{8} << 30;

struct LoadRow {
  int32_t residents = 0;
  std::vector<double> first_ms;
  std::vector<double> later_ms;
};

struct LoadReport {
  std::string file_dtype;
  size_t file_bytes = 0;
  size_t packed_bytes = 0;
  size_t resident_bytes = 0;
  std::vector<LoadRow> rows;
};

// A store that was opened a moment ago and a cache over it: a process that has just begun.
class Process {
 public:
  Process(const BaseSpec* base, std::string dir) : base_(base), dir_(std::move(dir)) {}

  absl::Status Start() {
    ASSIGN_OR_RETURN(store_, DurableAdapterStore::Open({.dir = dir_}, *base_, &clock_));
    loader_ = std::make_unique<StoreAdapterLoader>(
        store_.get(), base_,
        kernels::GetKernelTable(kernels::BestIsa(), kernels::WeightType::kBF16));
    AdapterManagerOptions options;
    options.capacity_bytes = kCapacityBytes;
    ASSIGN_OR_RETURN(manager_, AdapterManager::Create(options, loader_.get(), &clock_));
    return absl::OkStatus();
  }

  // Milliseconds until it is pinned.
  absl::StatusOr<double> Load(const std::string& name) {
    ASSIGN_OR_RETURN(const StoredVersion version, store_->Resolve("bench", name, ""));
    const AdapterRef ref{version.tenant, version.name, version.version};
    Mutex mutex;
    CondVar changed;
    bool settled = false;
    const absl::Time begin = absl::Now();
    manager_->RequestLoad(ref, [&] {
      MutexLock lock(&mutex);
      settled = true;
      changed.NotifyAll();
    });
    {
      MutexLock lock(&mutex);
      while (!settled) changed.Wait(&mutex);
    }
    RETURN_IF_ERROR(manager_->TryPin(ref).status());
    return MillisecondsSince(begin);
  }

  absl::Status Drop(const std::string& name) {
    ASSIGN_OR_RETURN(const StoredVersion version, store_->Resolve("bench", name, ""));
    manager_->Drop({version.tenant, version.name, version.version});
    return absl::OkStatus();
  }

  DurableAdapterStore* store() const { return store_.get(); }
  AdapterManager::Stats stats() const { return manager_->stats(); }

 private:
  const BaseSpec* const base_;
  const std::string dir_;
  RealClock clock_;
  std::unique_ptr<DurableAdapterStore> store_;
  std::unique_ptr<StoreAdapterLoader> loader_;
  std::unique_ptr<AdapterManager> manager_;
};

std::string NameOf(int32_t index) { return absl::StrCat("resident-", index); }

absl::Status Upload(const BaseSpec& base, const std::string& dir, const AdapterFile& large,
                    int32_t residents) {
  Process process(&base, dir);
  RETURN_IF_ERROR(process.Start());
  RETURN_IF_ERROR(UploadAdapter(process.store(), "large", large).status());
  for (int32_t i = 0; i < residents; ++i) {
    const AdapterFile small =
        MakeAdapterFile(base, 1, static_cast<uint32_t>(i) + 2, DType::kF32, /*modules=*/7);
    RETURN_IF_ERROR(UploadAdapter(process.store(), NameOf(i), small).status());
  }
  return absl::OkStatus();
}

absl::Status Round(const BaseSpec& base, const std::string& dir, LoadRow* row, LoadReport* report) {
  Process process(&base, dir);
  RETURN_IF_ERROR(process.Start());
  for (int32_t i = 0; i < row->residents; ++i) {
    RETURN_IF_ERROR(process.Load(NameOf(i)).status());
  }
  const AdapterManager::Stats before = process.stats();
  ASSIGN_OR_RETURN(const double first, process.Load("large"));
  const AdapterManager::Stats after = process.stats();
  report->packed_bytes = after.packed_bytes - before.packed_bytes;
  report->resident_bytes = after.cache.resident_bytes - before.cache.resident_bytes;
  row->first_ms.push_back(first);
  std::vector<double> later;
  for (int i = 0; i < 3; ++i) {
    RETURN_IF_ERROR(process.Drop("large"));
    ASSIGN_OR_RETURN(const double again, process.Load("large"));
    later.push_back(again);
  }
  row->later_ms.push_back(Median(later));
  return absl::OkStatus();
}

absl::StatusOr<LoadReport> Measure() {
  LoadReport report;
  report.file_dtype = absl::GetFlag(FLAGS_file_dtype);
  const bool smoke = absl::GetFlag(FLAGS_smoke);
  int32_t most = 0;
  for (const std::string& text : absl::GetFlag(FLAGS_residents)) {
    LoadRow row;
    if (!absl::SimpleAtoi(text, &row.residents) || row.residents < 0) {
      return absl::InvalidArgumentError("--residents must be numbers");
    }
    if (smoke) row.residents = std::min(row.residents, 10);
    most = std::max(most, row.residents);
    report.rows.push_back(row);
  }
  DType dtype = DType::kF32;
  if (report.file_dtype == "BF16") dtype = DType::kBF16;
  if (report.file_dtype == "F16") dtype = DType::kF16;
  const BaseSpec base = BenchBase();
  const int32_t rank = (dtype == DType::kF32 ? 16 : 32) / (smoke ? 8 : 1);
  const AdapterFile large = MakeAdapterFile(base, rank, 1, dtype);
  report.file_bytes = large.weights.size();
  const testing::TempDir dir;
  RETURN_IF_ERROR(Upload(base, dir.path(), large, most));
  for (int32_t round = 0; round < (smoke ? 1 : absl::GetFlag(FLAGS_rounds)); ++round) {
    for (LoadRow& row : report.rows) RETURN_IF_ERROR(Round(base, dir.path(), &row, &report));
  }
  return report;
}

double ResidentShare(const LoadReport& report) {
  return static_cast<double>(report.resident_bytes) / static_cast<double>(report.packed_bytes);
}

void PrintTable(const LoadReport& report) {
  PrintHead(absl::StrCat("load of an adapter of ", report.file_bytes / 1'000'000, " MB (",
                         report.file_dtype, "), file in the page cache; packed in bf16: ",
                         report.packed_bytes, " bytes, charged ", report.resident_bytes));
  std::printf("charged / packed: %.4f\n\n", ResidentShare(report));
  std::printf("| others in memory | first load, ms | later loads, ms |\n|---|---|---|\n");
  for (const LoadRow& row : report.rows) {
    std::printf("| %d | %.1f | %.1f |\n", row.residents, Median(row.first_ms),
                Median(row.later_ms));
  }
}

void PrintJson(const LoadReport& report) {
  nlohmann::json rows = nlohmann::json::array();
  for (const LoadRow& row : report.rows) {
    rows.push_back({{"residents", row.residents},
                    {"first_ms", Median(row.first_ms)},
                    {"later_ms", Median(row.later_ms)}});
  }
  const nlohmann::json json = {{"machine", ProcessorName()},
                               {"cores", ProcessorCount()},
                               {"isa", kernels::IsaName(kernels::BestIsa())},
                               {"commit", CommitName()},
                               {"file_dtype", report.file_dtype},
                               {"file_bytes", report.file_bytes},
                               {"packed_bytes", report.packed_bytes},
                               {"resident_bytes", report.resident_bytes},
                               {"resident_share", ResidentShare(report)},
                               {"rows", rows}};
  std::printf("%s\n", json.dump(1).c_str());
}

}  // namespace

absl::Status LoadCommand() {
  ASSIGN_OR_RETURN(const LoadReport report, Measure());
  absl::GetFlag(FLAGS_json) ? PrintJson(report) : PrintTable(report);
  return absl::OkStatus();
}

}  // namespace lamella::bench
