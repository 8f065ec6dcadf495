// lamella-bench roofline [--threads=N] [--json]
// lamella-bench kernels [--threads=N] [--isa=best|...] [--dtype=bf16|float32]
//                       [--base_quant=none|int8|int4] [--kv_cache_dtype=auto|int8]
//                       [--matmul_precision=auto|high|medium]
//                       [--features=8192x2048] [--rows=1,2,...] [--rounds=5] [--json] [--smoke]
//
// roofline: what memory and arithmetic of this machine give at most. kernels: each kernel beside
// these limits, measured in the same run; weights take 1 GiB, so none is in a cache by accident.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "common/base/status_macros.h"
#include "tests/bench/commands.h"
#include "tests/bench/executor_flags.h"
#include "tests/bench/kernels_bench.h"
#include "tests/bench/machine.h"
#include "tests/bench/roofline.h"

ABSL_DECLARE_FLAG(std::string, dtype);
ABSL_DECLARE_FLAG(int32_t, rank);
ABSL_DECLARE_FLAG(int32_t, rounds);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, smoke);
ABSL_FLAG(std::string, features, "8192x2048", "out x in features of the linear layers");
ABSL_FLAG(std::vector<std::string>, rows,
          (std::vector<std::string>{"1", "2", "4", "6", "8", "12", "16", "24", "32", "48", "64",
                                    "512"}),
          "rows of a linear layer");

namespace lamella::bench {
namespace {

using kernels::WeightType;

absl::StatusOr<const kernels::KernelTable*> Table() {
  ASSIGN_OR_RETURN(const CpuExecutorOptions options, ExecutorOptionsFromFlags());
  const kernels::Isa isa = options.isa.value_or(kernels::BestIsa());
  const auto* table = kernels::GetKernelTable(isa, options.dtype, options.base_quant,
                                              options.kv_type, options.precision);
  if (table == nullptr) {
    return absl::UnavailableError(std::string("this processor has no ") + kernels::IsaName(isa));
  }
  return table;
}

absl::StatusOr<KernelsBenchOptions> Options() {
  KernelsBenchOptions options;
  options.rounds = absl::GetFlag(FLAGS_rounds);
  options.rank = absl::GetFlag(FLAGS_rank);
  const std::string features = absl::GetFlag(FLAGS_features);
  const size_t x = features.find('x');
  if (x == std::string::npos || !absl::SimpleAtoi(features.substr(0, x), &options.n) ||
      !absl::SimpleAtoi(features.substr(x + 1), &options.k) || options.n < 1 || options.k < 1) {
    return absl::InvalidArgumentError("--features must be like 8192x2048");
  }
  options.rows.clear();
  for (const std::string& text : absl::GetFlag(FLAGS_rows)) {
    int32_t rows = 0;
    if (!absl::SimpleAtoi(text, &rows) || rows < 1) {
      return absl::InvalidArgumentError("--rows must be positive numbers");
    }
    options.rows.push_back(rows);
  }
  if (absl::GetFlag(FLAGS_smoke)) {
    options = {.n = 256,
               .k = 128,
               .weight_bytes = 1 << 20,
               .rows = {1, 8, 32},
               .adapters = {1, 8},
               .rank = 4,
               .context_tokens = 32,
               .rounds = 1};
  }
  return options;
}

// Of the base's weights.
std::string Format(const kernels::KernelTable& table) {
  if (table.quantization == kernels::Quantization::kNone) return absl::GetFlag(FLAGS_dtype);
  return kernels::QuantizationName(table.quantization);
}

nlohmann::json Head(const kernels::KernelTable& table) {
  return {
      {"machine", ProcessorName()},    {"cores", ProcessorCount()},
      {"threads", ThreadsFromFlags()}, {"isa", kernels::IsaName(table.isa)},
      {"dtype", Format(table)},        {"precision", kernels::MatmulPrecisionName(table.precision)},
      {"commit", CommitName()}};
}

void PrintHead(const kernels::KernelTable& table) {
  std::printf("%s, %d cores, %d threads, %s, %s, precision %s, commit %s\n",
              ProcessorName().c_str(), ProcessorCount(), ThreadsFromFlags(),
              kernels::IsaName(table.isa), Format(table).c_str(),
              kernels::MatmulPrecisionName(table.precision), CommitName().c_str());
}

void PrintTable(const kernels::KernelTable& table, const KernelsBenchOptions& options,
                const KernelsBenchReport& report) {
  PrintHead(table);
  std::printf("linear layers %lld x %lld, read bandwidth %.1f GB/s, peak %.0f GFLOP/s\n\n",
              static_cast<long long>(options.n), static_cast<long long>(options.k),
              report.read_bandwidth * 1e-9, report.peak_flops * 1e-9);
  std::printf(
      "| kernel | rows | adapters | us | of bandwidth | of peak | of roofline | retention |\n");
  std::printf("|---|---|---|---|---|---|---|---|\n");
  for (const KernelsBenchRow& row : report.rows) {
    std::printf("| %s | %d | %d | %.0f | %.3f | %.3f | %.3f | %.3f |\n", row.op.c_str(), row.rows,
                row.adapters, row.seconds * 1e6, row.bandwidth_share, row.peak_share,
                row.roofline_share, row.retention);
  }
}

void PrintJson(const kernels::KernelTable& table, const KernelsBenchOptions& options,
               const KernelsBenchReport& report) {
  nlohmann::json json = Head(table);
  json["read_bandwidth"] = report.read_bandwidth;
  json["peak_flops"] = report.peak_flops;
  json["rows"] = nlohmann::json::array();
  for (const KernelsBenchRow& row : report.rows) {
    json["rows"].push_back({{"op", row.op},
                            {"format", Format(table)},
                            {"n", options.n},
                            {"k", options.k},
                            {"rows", row.rows},
                            {"adapters", row.adapters},
                            {"rank", options.rank},
                            {"seconds", row.seconds},
                            {"share_of_bandwidth", row.bandwidth_share},
                            {"share_of_peak", row.peak_share},
                            {"share_of_roofline", row.roofline_share},
                            {"retention", row.retention}});
  }
  std::printf("%s\n", json.dump(1).c_str());
}

}  // namespace

absl::Status KernelsCommand() {
  ASSIGN_OR_RETURN(const auto* const table, Table());
  ASSIGN_OR_RETURN(const KernelsBenchOptions options, Options());
  kernels::ForkJoinPool pool(ThreadsFromFlags());
  ASSIGN_OR_RETURN(const KernelsBenchReport report, RunKernelsBench(*table, &pool, options));
  const bool json = absl::GetFlag(FLAGS_json);
  json ? PrintJson(*table, options, report) : PrintTable(*table, options, report);
  return absl::OkStatus();
}

absl::Status RooflineCommand() {
  ASSIGN_OR_RETURN(const auto* const table, Table());
  kernels::ForkJoinPool pool(ThreadsFromFlags());
  const double bandwidth = ReadBandwidth(&pool);
  const double f32 = PeakFlops(&pool, table->isa, WeightType::kF32);
  const double bf16 = PeakFlops(&pool, table->isa, WeightType::kBF16);
  if (absl::GetFlag(FLAGS_json)) {
    nlohmann::json json = Head(*table);
    json["read_bandwidth"] = bandwidth;
    json["peak_flops_float32"] = f32;
    json["peak_flops_bf16"] = bf16;
    std::printf("%s\n", json.dump(1).c_str());
    return absl::OkStatus();
  }
  PrintHead(*table);
  std::printf("read %.1f GB/s, float32 %.0f GFLOP/s, bf16 %.0f GFLOP/s\n", bandwidth * 1e-9,
              f32 * 1e-9, bf16 * 1e-9);
  return absl::OkStatus();
}

}  // namespace lamella::bench
