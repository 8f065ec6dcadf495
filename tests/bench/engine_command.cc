// lamella-bench engine [--model=PATH | --shape=smollm2-135m|llama-3.2-1b] [--threads=N]
//                      [--isa=best|reference|avx2|avx512_bf16] [--dtype=bf16|float32]
//                      [--batches=1,8,32] [--rounds=5] [--rank=16] [--json] [--smoke]
//
// Decode speed of the CPU executor, in process. The table's last columns set a step beside the time
// that reading its weights once must take, with a bandwidth measured in the same run.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "server/kernels/fork_join_pool.h"
#include "tests/bench/commands.h"
#include "tests/bench/engine_bench.h"
#include "tests/bench/machine.h"
#include "tests/bench/random_source.h"
#include "tests/bench/roofline.h"

ABSL_FLAG(std::string, model, "", "GGUF file or Hugging Face folder");
ABSL_FLAG(std::string, shape, "smollm2-135m", "random weights of this shape, without --model");
ABSL_FLAG(int32_t, threads, 0, "compute threads; 0: one for each core");
ABSL_FLAG(std::string, isa, "best", "instruction set");
ABSL_FLAG(std::string, dtype, "bf16", "serving dtype");
ABSL_FLAG(std::vector<std::string>, batches, (std::vector<std::string>{"1", "8", "32"}),
          "sequences in a step");
ABSL_FLAG(int32_t, rank, 16, "rank of the adapters in all seven linears");
ABSL_DECLARE_FLAG(int32_t, rounds);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, smoke);

namespace lamella::bench {
namespace {

struct Report {
  std::string model;
  CpuExecutorOptions options;
  std::string isa;
  int64_t weight_bytes = 0;
  double read_bandwidth = 0;  // bytes per second
  std::vector<EngineBenchRow> rows;
};

absl::StatusOr<CpuExecutorOptions> ExecutorOptions() {
  CpuExecutorOptions options;
  options.threads = absl::GetFlag(FLAGS_threads);
  if (options.threads == 0) options.threads = ProcessorCount();
  const std::string dtype = absl::GetFlag(FLAGS_dtype);
  if (dtype != "bf16" && dtype != "float32") {
    return absl::InvalidArgumentError("--dtype must be bf16 or float32");
  }
  options.dtype = dtype == "bf16" ? kernels::WeightType::kBF16 : kernels::WeightType::kF32;
  options.kv_cache_bytes = int64_t{1} << 30;
  const std::string name = absl::GetFlag(FLAGS_isa);
  if (name == "best") return options;
  for (const auto isa :
       {kernels::Isa::kReference, kernels::Isa::kAvx2, kernels::Isa::kAvx512Bf16}) {
    if (name == kernels::IsaName(isa)) options.isa = isa;
  }
  if (!options.isa.has_value()) return absl::InvalidArgumentError("no ISA is called " + name);
  return options;
}

absl::StatusOr<EngineBenchOptions> BenchOptions() {
  EngineBenchOptions options;
  options.rounds = absl::GetFlag(FLAGS_rounds);
  options.rank = absl::GetFlag(FLAGS_rank);
  options.batches.clear();
  for (const std::string& batch : absl::GetFlag(FLAGS_batches)) {
    options.batches.push_back(std::atoi(batch.c_str()));
  }
  if (absl::GetFlag(FLAGS_smoke)) {
    options = {.batches = {1, 2}, .context_tokens = 4, .steps = 2, .rounds = 1, .rank = 4};
  }
  for (const int32_t batch : options.batches) {
    if (batch < 1) return absl::InvalidArgumentError("--batches must be positive numbers");
  }
  if (options.rounds < 1 || options.rank < 1) {
    return absl::InvalidArgumentError("--rounds and --rank must be positive");
  }
  return options;
}

absl::StatusOr<std::unique_ptr<WeightSource>> Source() {
  if (const std::string path = absl::GetFlag(FLAGS_model); !path.empty()) {
    return OpenWeightSource(path);
  }
  ASSIGN_OR_RETURN(ModelConfig config, NamedShape(absl::GetFlag(FLAGS_shape)));
  return std::make_unique<RandomSource>(std::move(config));
}

double Bandwidth(int32_t threads) {
  kernels::ForkJoinPool pool(threads);
  return ReadBandwidth(&pool);
}

absl::StatusOr<Report> Measure() {
  Report report;
  ASSIGN_OR_RETURN(report.options, ExecutorOptions());
  ASSIGN_OR_RETURN(const EngineBenchOptions options, BenchOptions());
  report.options.max_sequences = *std::max_element(options.batches.begin(), options.batches.end());
  report.options.max_rows = std::max(256, report.options.max_sequences);
  const std::string path = absl::GetFlag(FLAGS_model);
  report.model = path.empty() ? "random " + absl::GetFlag(FLAGS_shape)
                              : path.substr(path.find_last_of('/') + 1);
  report.read_bandwidth = Bandwidth(report.options.threads);
  ASSIGN_OR_RETURN(auto source, Source());
  ASSIGN_OR_RETURN(const auto executor, CpuExecutor::Create(*source, report.options));
  source.reset();
  report.isa = kernels::IsaName(executor->kernel_table().isa);
  report.weight_bytes = executor->weight_bytes();
  ASSIGN_OR_RETURN(report.rows, RunEngineBench(executor.get(), options));
  // Again: on a shared machine one moment may have been slow.
  report.read_bandwidth = std::max(report.read_bandwidth, Bandwidth(report.options.threads));
  return report;
}

// Share of the measured bandwidth at which a step read the weights once.
double RooflineShare(const Report& report, const EngineBenchRow& row) {
  return static_cast<double>(report.weight_bytes) / (row.step_ms * 1e-3) / report.read_bandwidth;
}

void PrintTable(const Report& report) {
  std::printf("%s, %s, %s\n%s, %d cores, %d threads, commit %s\n", report.model.c_str(),
              absl::GetFlag(FLAGS_dtype).c_str(), report.isa.c_str(), ProcessorName().c_str(),
              ProcessorCount(), report.options.threads, CommitName().c_str());
  std::printf("weights %.0f MB, read bandwidth %.1f GB/s: a step takes at least %.2f ms\n\n",
              report.weight_bytes * 1e-6, report.read_bandwidth * 1e-9,
              report.weight_bytes / report.read_bandwidth * 1e3);
  std::printf("| batch | adapters | decode tok/s | ms/step | of bandwidth | prefill tok/s |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (const EngineBenchRow& row : report.rows) {
    std::printf("| %d | %s | %.1f | %.2f | %.0f%% | %.0f |\n", row.batch, row.adapters.c_str(),
                row.decode_tokens_per_second, row.step_ms, 100 * RooflineShare(report, row),
                row.prefill_tokens_per_second);
  }
}

void PrintJson(const Report& report) {
  nlohmann::json rows = nlohmann::json::array();
  for (const EngineBenchRow& row : report.rows) {
    rows.push_back({{"batch", row.batch},
                    {"adapters", row.adapters},
                    {"decode_tokens_per_second", row.decode_tokens_per_second},
                    {"step_ms", row.step_ms},
                    {"roofline_share", RooflineShare(report, row)},
                    {"prefill_tokens_per_second", row.prefill_tokens_per_second}});
  }
  const nlohmann::json json = {{"model", report.model},
                               {"dtype", absl::GetFlag(FLAGS_dtype)},
                               {"isa", report.isa},
                               {"machine", ProcessorName()},
                               {"cores", ProcessorCount()},
                               {"threads", report.options.threads},
                               {"commit", CommitName()},
                               {"weight_bytes", report.weight_bytes},
                               {"read_bandwidth_bytes_per_second", report.read_bandwidth},
                               {"rows", rows}};
  std::printf("%s\n", json.dump(1).c_str());
}

}  // namespace

absl::Status EngineCommand() {
  ASSIGN_OR_RETURN(const Report report, Measure());
  absl::GetFlag(FLAGS_json) ? PrintJson(report) : PrintTable(report);
  return absl::OkStatus();
}

}  // namespace lamella::bench
