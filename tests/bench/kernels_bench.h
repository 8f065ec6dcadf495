// Kernels alone against the limits of the machine: linear layers of any number of rows, with and
// without adapters, and attention over a paged cache. Weights are far beyond the caches, so each
// call reads its own from memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/kernels/fork_join_pool.h"
#include "server/kernels/kernel_table.h"

namespace lamella::bench {

struct KernelsBenchOptions {
  int64_t n = 8192;                         // out features of every matrix
  int64_t k = 2048;                         // in features
  int64_t weight_bytes = int64_t{1} << 30;  // of all matrices together, at least
  std::vector<int32_t> rows = {1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 512};
  std::vector<int32_t> adapters = {1, 8, 32};  // distinct ones among 32 rows
  int32_t rank = 16;
  int32_t context_tokens = 1024;  // that attention reads for each of 32 rows
  int32_t rounds = 5;             // every figure once in each; medians are reported
};

struct KernelsBenchRow {
  std::string op;  // "linear", "linear with adapters", "attention"
  int32_t rows = 0;
  int32_t adapters = 0;        // distinct ones among the rows
  double seconds = 0;          // of one call on all threads
  double bandwidth_share = 0;  // bytes that must be read, over what memory gives in that time
  double peak_share = 0;       // operations over what the arithmetic gives in that time; 0: unknown
  double roofline_share = 0;   // the larger of the two times over the time it took
  double retention = 0;        // with adapters: time without over time with
};

struct KernelsBenchReport {
  double read_bandwidth = 0;  // bytes per second, median of all measurements
  double peak_flops = 0;      // operations per second
  std::vector<KernelsBenchRow> rows;
};

// RESOURCE_EXHAUSTED without memory for the matrices.
absl::StatusOr<KernelsBenchReport> RunKernelsBench(const kernels::KernelTable& table,
                                                   kernels::ForkJoinPool* pool,
                                                   const KernelsBenchOptions& options);

}  // namespace lamella::bench
