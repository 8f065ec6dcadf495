#include "server/lora/lora_batch.h"

#include <algorithm>
#include <cstddef>
#include <memory>

#include "server/lora/adapter_weights.h"

namespace lamella {
namespace {

constexpr int32_t kLineFloats = 16;  // of a 64-byte cache line
constexpr int64_t kMaxParts = 3;     // linears that share one input, at most

constexpr ModuleKind kAttentionKinds[] = {ModuleKind::kQ, ModuleKind::kK, ModuleKind::kV};
constexpr ModuleKind kAttentionOutputKinds[] = {ModuleKind::kO};
constexpr ModuleKind kMlpKinds[] = {ModuleKind::kGate, ModuleKind::kUp};
constexpr ModuleKind kMlpProductKinds[] = {ModuleKind::kDown};

std::span<const ModuleKind> KindsOf(LoraInput input) {
  switch (input) {
    case LoraInput::kAttention:
      return kAttentionKinds;
    case LoraInput::kAttentionOutput:
      return kAttentionOutputKinds;
    case LoraInput::kMlp:
      return kMlpKinds;
    case LoraInput::kMlpProduct:
      return kMlpProductKinds;
  }
  return {};
}

}  // namespace

void LoraBatch::Begin(std::span<const LoraSegment> segments) {
  segments_ = segments;
  tasks_.clear();
  for (auto& terms : terms_) terms.clear();
  if (segments.empty()) return;

  int32_t max_rank = 0;
  for (const LoraSegment& segment : segments) {
    max_rank = std::max(max_rank, segment.weights->max_rank());
  }
  part_floats_ = (max_rank + kLineFloats - 1) / kLineFloats * kLineFloats;
  const auto floats = static_cast<size_t>(segments.back().row_end * kMaxParts * part_floats_);
  if (v_.size() < floats + kLineFloats) v_.resize(floats + kLineFloats);
  void* begin = v_.data();
  size_t space = v_.size() * sizeof(float);
  v_begin_ = static_cast<float*>(std::align(kLineFloats * sizeof(float), 0, begin, space));
}

void LoraBatch::Prepare(int32_t layer, LoraInput input, const float* x, int64_t ldx) {
  tasks_.clear();
  for (auto& terms : terms_) terms.clear();
  const std::span<const ModuleKind> kinds = KindsOf(input);
  kernels::ShrinkArgs shared;
  shared.x = x;
  shared.ldx = ldx;
  shared.k = base_.module(layer, kinds[0]).in_features;
  shared.ldv = kMaxParts * part_floats_;
  for (const LoraSegment& segment : segments_) AddSegment(layer, kinds, segment, shared);
}

void LoraBatch::AddSegment(int32_t layer, std::span<const ModuleKind> kinds,
                           const LoraSegment& segment, const kernels::ShrinkArgs& input) {
  for (size_t part = 0; part < kinds.size(); ++part) {
    const AdapterWeights::Module& module = segment.weights->module(layer, kinds[part]);
    if (module.rank == 0) continue;
    terms_[static_cast<size_t>(kinds[part])].push_back(
        {.row_begin = segment.row_begin,
         .row_end = segment.row_end,
         .rank = module.rank,
         .b = module.b,
         .v = v_begin_ + static_cast<int64_t>(part) * part_floats_,
         .ldv = input.ldv});
  }
  for (int32_t row = segment.row_begin; row < segment.row_end; row += kRowsPerTask) {
    for (size_t part = 0; part < kinds.size(); ++part) {
      const AdapterWeights::Module& module = segment.weights->module(layer, kinds[part]);
      Task task{.args = input};
      task.args.row_begin = row;
      task.args.row_end = std::min(row + kRowsPerTask, segment.row_end);
      task.args.a = module.a;
      task.args.rank = module.rank;
      task.args.v = v_begin_ + static_cast<int64_t>(part) * part_floats_;
      for (int32_t rank = 0; rank < module.rank; rank += kRanksPerTask) {
        task.rank_begin = rank;
        task.rank_end = std::min(rank + kRanksPerTask, module.rank);
        tasks_.push_back(task);
      }
    }
  }
}

void LoraBatch::RunTasks(int64_t begin, int64_t end) const {
  for (int64_t i = begin; i < end; ++i) {
    const Task& task = tasks_[static_cast<size_t>(i)];
    kernels_.lora_shrink(task.args, task.rank_begin, task.rank_end);
  }
}

}  // namespace lamella
