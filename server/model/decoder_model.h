// One config-driven decoder-only transformer: Llama, Mistral, Qwen2, Qwen3 and Gemma 3 text. It
// computes a step over mixed rows of any sequences and adapters. It knows no queues, requests or
// sampling, and no device: every operation goes through a KernelTable and is cut over a
// ForkJoinPool. One thread calls Forward; nothing is allocated there.
//
// A row's result depends on its own sequence alone (law 2): in each layer the keys and values of
// all rows are written before any row attends, and every kernel sums in an order of its own.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "server/kernels/fork_join_pool.h"
#include "server/kernels/kernel_table.h"
#include "server/lora/lora_batch.h"
#include "server/model/kv_cache.h"
#include "server/model/model_weights.h"
#include "server/model/rope_tables.h"
#include "server/model/step_workspace.h"

namespace lamella {

// The rows of one step; everything is borrowed for the call.
struct DecoderStep {
  std::span<const int32_t> token_ids;            // int32 [rows], each in [0, vocab_size)
  const int32_t* positions = nullptr;            // int32 [rows]
  int32_t max_position = 0;                      // the largest of them
  const int32_t* const* block_tables = nullptr;  // [rows]: the table of the row's sequence
  std::span<const int32_t> logit_rows;           // rows whose logits are wanted
  LoraBatch* lora = nullptr;                     // null: no row has an adapter

  int32_t rows() const { return static_cast<int32_t>(token_ids.size()); }
};

class DecoderModel {
 public:
  // Borrows all three for its life. RESOURCE_EXHAUSTED without memory for the workspace.
  static absl::StatusOr<std::unique_ptr<DecoderModel>> Create(const ModelWeights* weights,
                                                              const KvCache* cache,
                                                              kernels::ForkJoinPool* pool,
                                                              const WorkspaceLimits& limits);

  // float [logit_rows.size()][vocab_size], valid until the next call.
  const float* Forward(const DecoderStep& step);

 private:
  // A linear and where its result goes.
  struct Projection {
    ModuleKind kind;
    float* y;  // float [rows][out features]
  };

  DecoderModel(const ModelWeights* weights, const KvCache* cache, kernels::ForkJoinPool* pool,
               RopeTables rope, StepWorkspace workspace);

  void Embed();
  void Layer(int32_t layer);
  void RotateAndStore(int32_t layer);
  void RotateRow(int32_t layer, int64_t row);
  void Attend(int32_t layer);
  void Activate();
  // hidden += branch, through `post_norm` if there is one; then normed = norm(hidden), packed.
  void AddBranchAndNorm(const float* post_norm, const float* norm);
  void AddBranch(const float* post_norm, int64_t row_begin, int64_t row_end);
  void NormAndPack(const float* norm);
  void NormAndPackTile(const float* norm, int64_t tile);
  void Pack(const float* x, int64_t k);
  // All linears of `group` read the packed rows, whose plain form is x: float [rows][k].
  // The base products are cut over the pool together, with the adapters' terms inside.
  void Project(int32_t layer, LoraInput input, const float* x,
               std::initializer_list<Projection> group);
  void Shrink(int32_t layer, LoraInput input, const float* x, int64_t ldx);
  kernels::LinearArgs Linear(int32_t layer, const Projection& projection) const;
  const float* Logits();

  int64_t rows() const { return step_->rows(); }
  int64_t row_tiles() const { return (rows() + table_.row_tile - 1) / table_.row_tile; }
  int64_t tile_row(int64_t tile) const { return kernels::RowTileBegin(table_, rows(), tile); }
  int64_t hidden_size() const { return config_.hidden_size; }

  const ModelWeights& weights_;
  const ModelConfig& config_;
  const kernels::KernelTable& table_;
  const kernels::KernelTable& head_table_;
  const KvCache& cache_;
  kernels::ForkJoinPool& pool_;
  RopeTables rope_;
  StepWorkspace work_;
  const DecoderStep* step_ = nullptr;  // the step that Forward is computing
};

}  // namespace lamella
