#include "tests/bench/engine_report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/bench/bench_adapters.h"
#include "tests/bench/machine.h"

namespace lamella::bench {
namespace {

constexpr double kFlopsPerParameter = 2;  // a multiplication and an addition

// Null for a case that is set beside nothing.
const EngineBenchRow* BaseRow(const EngineReport& report, const EngineCase& what) {
  if (what.base()) return nullptr;
  const std::string name = BaseOf(what).name;
  const auto& rows = report.bench.rows;
  const auto found = std::find_if(rows.begin(), rows.end(),
                                  [&](const EngineBenchRow& row) { return row.what.name == name; });
  return found == rows.end() ? nullptr : &*found;
}

double Retention(const EngineBenchRow& base, const EngineBenchRow& row) {
  std::vector<double> pairs;
  for (size_t i = 0; i < row.seconds.size(); ++i) {
    pairs.push_back(base.seconds[i] / row.seconds[i]);
  }
  return Median(std::move(pairs));
}

double LinearFlops(const ModelSize& size, const EngineCase& what) {
  const double sampled = what.kind == EngineCase::Kind::kPrefill ? 1 : what.rows;
  return kFlopsPerParameter * (size.linear_parameters * what.rows + size.head_parameters * sampled);
}

}  // namespace

ModelSize SizeOf(const CpuExecutor& executor) {
  const ModelConfig& config = executor.config();
  ModelSize size;
  for (const BaseModule& module : executor.base_spec().modules) {
    size.linear_parameters += static_cast<double>(module.in_features * module.out_features);
    size.adapter_width += static_cast<double>(module.in_features + module.out_features);
  }
  size.head_parameters = static_cast<double>(config.vocab_size) * config.hidden_size;
  size.read_bytes = static_cast<double>(executor.weight_bytes());
  if (!config.tie_word_embeddings) {
    size.read_bytes -=
        size.head_parameters * static_cast<double>(executor.kernel_table().element_bytes);
  }
  return size;
}

EngineFigures FiguresOf(const EngineReport& report, const EngineBenchRow& row) {
  const double bandwidth = report.bench.read_bandwidth;
  const double peak = report.bench.peak_flops;
  EngineFigures out;
  out.step_seconds = Median(row.seconds);
  out.tokens_per_second = row.what.rows / out.step_seconds;
  const double read = report.size.read_bytes / bandwidth;
  const double computed = LinearFlops(report.size, row.what) / peak;
  out.bandwidth_share = read / out.step_seconds;
  out.peak_share = computed / out.step_seconds;
  if (const EngineBenchRow* base = BaseRow(report, row.what); base != nullptr) {
    out.retention = Retention(*base, row);
    const double base_seconds = Median(base->seconds);
    const double adapters_read = row.adapter_bytes / bandwidth;
    const double adapters_computed =
        kFlopsPerParameter * report.size.adapter_width * row.row_rank / peak;
    const double added =
        std::max(read + adapters_read, computed + adapters_computed) - std::max(read, computed);
    out.retention_limit = base_seconds / (base_seconds + added);
  }
  return out;
}

void PrintEngineTable(const EngineReport& report) {
  std::printf("%s, %s, %s, precision %s\n%s, %d cores, %d threads, commit %s\n",
              report.model.c_str(), report.dtype.c_str(), report.isa.c_str(),
              report.precision.c_str(), ProcessorName().c_str(), ProcessorCount(), report.threads,
              CommitName().c_str());
  std::printf("weights %.0f MB, read bandwidth %.1f GB/s: a step takes at least %.2f ms\n",
              report.size.read_bytes * 1e-6, report.bench.read_bandwidth * 1e-9,
              report.size.read_bytes / report.bench.read_bandwidth * 1e3);
  std::printf("peak %.0f GFLOP/s\n\n", report.bench.peak_flops * 1e-9);
  std::printf(
      "| case | adapters | tok/s | ms | of bandwidth | of peak | retention | its limit |\n");
  std::printf("|---|---|---|---|---|---|---|---|\n");
  for (const EngineBenchRow& row : report.bench.rows) {
    const EngineFigures figures = FiguresOf(report, row);
    std::printf("| %s | %.1f | %.1f | %.2f | %.0f%% | %.0f%% |", row.what.name.c_str(),
                row.adapters, figures.tokens_per_second, figures.step_seconds * 1e3,
                100 * figures.bandwidth_share, 100 * figures.peak_share);
    if (figures.retention > 0) {
      std::printf(" %.3f | %.3f |\n", figures.retention, figures.retention_limit);
    } else {
      std::printf(" | |\n");
    }
  }
}

void PrintEngineJson(const EngineReport& report) {
  nlohmann::json rows = nlohmann::json::array();
  for (const EngineBenchRow& row : report.bench.rows) {
    const EngineFigures figures = FiguresOf(report, row);
    rows.push_back({{"case", row.what.name},
                    {"rows", row.what.rows},
                    {"adapters", row.adapters},
                    {"adapter_rank", row.adapter_rank},
                    {"adapter_bytes", row.adapter_bytes},
                    {"tokens_per_second", figures.tokens_per_second},
                    {"step_ms", figures.step_seconds * 1e3},
                    {"bandwidth_share", figures.bandwidth_share},
                    {"peak_share", figures.peak_share},
                    {"retention", figures.retention},
                    {"retention_limit", figures.retention_limit},
                    {"seconds", row.seconds}});
  }
  const nlohmann::json json = {{"model", report.model},
                               {"dtype", report.dtype},
                               {"isa", report.isa},
                               {"precision", report.precision},
                               {"machine", ProcessorName()},
                               {"cores", ProcessorCount()},
                               {"threads", report.threads},
                               {"commit", CommitName()},
                               {"weight_bytes", report.size.read_bytes},
                               {"read_bandwidth", report.bench.read_bandwidth},
                               {"peak_flops", report.bench.peak_flops},
                               {"rows", rows}};
  std::printf("%s\n", json.dump(1).c_str());
}

}  // namespace lamella::bench
