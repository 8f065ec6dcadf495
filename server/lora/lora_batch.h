// The low-rank work of one step: which rows use which adapter, as the tasks that shrink x to v = A
// x and the LoraTerm lists with which the base product adds B v. It holds no weights and starts no
// threads; whoever owns the step cuts its tasks. One owner thread, but for RunTasks. After warm-up
// nothing is allocated; a step without adapter rows does nothing at all.
//
//   batch.Begin(input.segments);
//   for each layer, for each of the four inputs x of its linears:
//     if (!batch.empty()) {
//       batch.Prepare(layer, LoraInput::kAttention, x, ldx);
//       pool.Run(batch.task_count(), 1, [&](int64_t begin, int64_t end, int32_t) {
//         batch.RunTasks(begin, end);
//       });
//     }
//     ... linear(q, batch.Terms(ModuleKind::kQ)), linear(k, ...kK), linear(v, ...kV)
//
// Linears that share x share a v buffer, their columns side by side. With R the largest rank of the
// step's adapters rounded up to 16 (a cache line), row t of v is
//
//   | q: R floats | k: R floats | v: R floats |      ldv = 3 R for every input
//
// of which a row of rank r uses the first r of each part; the rest is never written nor read. Where
// v stands changes no result. The tasks of a segment are ordered by blocks of rows, then linear, so
// that one stretch of x is shrunk for all linears while it is in cache.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "common/formats/base_spec.h"
#include "server/core/step.h"
#include "server/kernels/kernel_table.h"

namespace lamella {

// The distinct inputs of a layer's linears.
enum class LoraInput : int32_t {
  kAttention = 0,    // q, k, v
  kAttentionOutput,  // o
  kMlp,              // gate, up
  kMlpProduct,       // down
};

class LoraBatch {
 public:
  static constexpr int32_t kRanksPerTask = 4;
  static constexpr int32_t kRowsPerTask = 8;  // whose inputs stay in a cache for all ranks

  // `base` gives the linears' input widths; both are borrowed and outlive the batch.
  LoraBatch(const BaseSpec& base, const kernels::KernelTable& kernels)
      : base_(base), kernels_(kernels) {}
  LoraBatch(const LoraBatch&) = delete;
  LoraBatch& operator=(const LoraBatch&) = delete;

  // Starts a step. `segments` (sorted, disjoint) and their weights stay valid until the next Begin.
  void Begin(std::span<const LoraSegment> segments);

  // No row of this step has an adapter.
  bool empty() const { return segments_.empty(); }

  // The shrink tasks and terms of the linears that read `x`: float [rows][ldx], indexed by the
  // step's rows, unchanged until the tasks have run. Replaces what the last Prepare made.
  void Prepare(int32_t layer, LoraInput input, const float* x, int64_t ldx);

  int64_t task_count() const { return static_cast<int64_t>(tasks_.size()); }
  // Runs tasks [begin, end). Disjoint ranges may run concurrently.
  void RunTasks(int64_t begin, int64_t end) const;

  // The terms of one of the linears of the last Prepare (none if the step is empty). They point to
  // v, which is whole once every task has run; both stay until the next Prepare.
  std::span<const kernels::LoraTerm> Terms(ModuleKind kind) const {
    return terms_[static_cast<size_t>(kind)];
  }

 private:
  struct Task {
    kernels::ShrinkArgs args;
    int32_t rank_begin = 0;
    int32_t rank_end = 0;
  };
  void AddSegment(int32_t layer, std::span<const ModuleKind> kinds, const LoraSegment& segment,
                  const kernels::ShrinkArgs& input);

  const BaseSpec& base_;
  const kernels::KernelTable& kernels_;
  std::span<const LoraSegment> segments_;
  int32_t part_floats_ = 0;   // R
  std::vector<float> v_;      // float [rows up to the last segment's end][3 R], from v_begin_ on
  float* v_begin_ = nullptr;  // first cache line boundary in v_
  std::vector<Task> tasks_;
  std::array<std::vector<kernels::LoraTerm>, kModuleKinds> terms_;
};

}  // namespace lamella
