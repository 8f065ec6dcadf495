#include "server/model/decoder_model.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/base/status_macros.h"

namespace lamella {

using kernels::AttentionArgs;
using kernels::ForkJoinPool;
using kernels::kColumnTile;
using kernels::KvWriteArgs;
using kernels::LinearArgs;

absl::StatusOr<std::unique_ptr<DecoderModel>> DecoderModel::Create(const ModelWeights* weights,
                                                                   const KvCache* cache,
                                                                   ForkJoinPool* pool,
                                                                   const WorkspaceLimits& limits) {
  ASSIGN_OR_RETURN(RopeTables rope, RopeTables::Create(weights->config, limits.context_tokens));
  ASSIGN_OR_RETURN(StepWorkspace workspace, StepWorkspace::Create(*weights, limits));
  return std::unique_ptr<DecoderModel>(
      new DecoderModel(weights, cache, pool, std::move(rope), std::move(workspace)));
}

DecoderModel::DecoderModel(const ModelWeights* weights, const KvCache* cache, ForkJoinPool* pool,
                           RopeTables rope, StepWorkspace workspace)
    : weights_(*weights),
      config_(weights->config),
      table_(*weights->table),
      head_table_(*weights->head_table),
      cache_(*cache),
      pool_(*pool),
      rope_(std::move(rope)),
      work_(std::move(workspace)) {}

const float* DecoderModel::Forward(const DecoderStep& step) {
  step_ = &step;
  rope_.EnsurePositions(step.max_position + 1);
  Embed();
  NormAndPack(weights_.layers.front().input_norm);
  for (int32_t layer = 0; layer < config_.num_layers; ++layer) Layer(layer);
  return Logits();
}

void DecoderModel::Embed() {
  pool_.Run(rows(), 1, [this](int64_t begin, int64_t end, int32_t) {
    for (int64_t row = begin; row < end; ++row) {
      float* out = work_.hidden + row * hidden_size();
      head_table_.unpack_row(weights_.embedding.packed, config_.vocab_size, hidden_size(),
                             step_->token_ids[static_cast<size_t>(row)], out);
      if (config_.embedding_scale == 1.0F) continue;
      for (int64_t i = 0; i < hidden_size(); ++i) out[i] *= config_.embedding_scale;
    }
  });
}

// Begins with the packed input norm of this layer and ends with that of the next.
void DecoderModel::Layer(int32_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const bool is_last = layer + 1 == config_.num_layers;
  const float* next_norm =
      is_last ? nullptr : weights_.layers[static_cast<size_t>(layer) + 1].input_norm;

  Project(layer, LoraInput::kAttention, work_.normed,
          {{ModuleKind::kQ, work_.q}, {ModuleKind::kK, work_.k}, {ModuleKind::kV, work_.v}});
  RotateAndStore(layer);
  Attend(layer);
  Pack(work_.attended, work_.q_size);
  Project(layer, LoraInput::kAttentionOutput, work_.attended, {{ModuleKind::kO, work_.branch}});
  AddBranchAndNorm(config_.post_norms ? weights.post_attention_norm : nullptr, weights.mlp_norm());
  Project(layer, LoraInput::kMlp, work_.normed,
          {{ModuleKind::kGate, work_.gate}, {ModuleKind::kUp, work_.up}});
  Activate();
  Project(layer, LoraInput::kMlpProduct, work_.activated, {{ModuleKind::kDown, work_.branch}});
  AddBranchAndNorm(weights.post_ff_norm, next_norm);
}

void DecoderModel::RotateAndStore(int32_t layer) {
  KvWriteArgs args;
  args.k = work_.k;
  args.v = work_.v;
  args.ldk = args.ldv = work_.kv_size;
  args.k_cache = cache_.keys(layer);
  args.v_cache = cache_.values(layer);
  args.positions = step_->positions;
  args.block_tables = step_->block_tables;
  args.kv_heads = config_.num_kv_heads;
  args.head_dim = config_.head_dim;
  pool_.Run(rows(), 1, [&](int64_t begin, int64_t end, int32_t) {
    for (int64_t row = begin; row < end; ++row) RotateRow(layer, row);
    table_.kv_write(args, begin, end);
  });
}

void DecoderModel::RotateRow(int32_t layer, int64_t row) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const int32_t head_dim = config_.head_dim;
  float* q = work_.q + row * work_.q_size;
  float* k = work_.k + row * work_.kv_size;
  if (config_.qk_norm) {
    table_.rms_norm(q, head_dim, config_.num_q_heads, head_dim, weights.q_norm,
                    config_.rms_norm_eps, q, head_dim);
    table_.rms_norm(k, head_dim, config_.num_kv_heads, head_dim, weights.k_norm,
                    config_.rms_norm_eps, k, head_dim);
  }
  const int32_t position = step_->positions[row];
  const float* cos = rope_.Cos(layer, position);
  const float* sin = rope_.Sin(layer, position);
  table_.rope(q, work_.q_size, 1, config_.num_q_heads, head_dim, cos, sin);
  table_.rope(k, work_.kv_size, 1, config_.num_kv_heads, head_dim, cos, sin);
}

void DecoderModel::Attend(int32_t layer) {
  AttentionArgs args;
  args.q = work_.q;
  args.ldq = work_.q_size;
  args.k_cache = cache_.keys(layer);
  args.v_cache = cache_.values(layer);
  args.positions = step_->positions;
  args.block_tables = step_->block_tables;
  args.q_heads = config_.num_q_heads;
  args.kv_heads = config_.num_kv_heads;
  args.head_dim = config_.head_dim;
  args.scale = config_.attention_scale;
  args.window = config_.layers[static_cast<size_t>(layer)].sliding_window;
  args.out = work_.attended;
  args.ldo = work_.q_size;
  pool_.Run(rows() * config_.num_kv_heads, 1, [&](int64_t begin, int64_t end, int32_t worker) {
    table_.attention(args, begin, end, work_.attention_scratch(worker));
  });
}

void DecoderModel::Activate() {
  const int64_t width = config_.intermediate_size;
  auto* const multiply =
      config_.activation == Activation::kSilu ? table_.silu_mul : table_.gelu_tanh_mul;
  pool_.Run(row_tiles(), 1, [&](int64_t tile_begin, int64_t tile_end, int32_t) {
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
      const int64_t begin = tile_row(tile) * width;
      const int64_t count = tile_row(tile + 1) * width - begin;
      multiply(work_.gate + begin, work_.up + begin, work_.activated + begin, count);
      table_.pack_rows(work_.activated, width, rows(), width, tile, tile + 1, work_.packed);
    }
  });
}

void DecoderModel::AddBranchAndNorm(const float* post_norm, const float* norm) {
  pool_.Run(row_tiles(), 1, [&](int64_t tile_begin, int64_t tile_end, int32_t) {
    AddBranch(post_norm, tile_row(tile_begin), tile_row(tile_end));
    if (norm == nullptr) return;
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) NormAndPackTile(norm, tile);
  });
}

void DecoderModel::AddBranch(const float* post_norm, int64_t row_begin, int64_t row_end) {
  const int64_t width = hidden_size();
  const int64_t count = row_end - row_begin;
  float* branch = work_.branch + row_begin * width;
  if (post_norm != nullptr) {
    table_.rms_norm(branch, width, count, width, post_norm, config_.rms_norm_eps, branch, width);
  }
  table_.add(work_.hidden + row_begin * width, branch, count * width);
}

void DecoderModel::NormAndPack(const float* norm) {
  pool_.Run(row_tiles(), 1, [&](int64_t tile_begin, int64_t tile_end, int32_t) {
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) NormAndPackTile(norm, tile);
  });
}

void DecoderModel::NormAndPackTile(const float* norm, int64_t tile) {
  const int64_t width = hidden_size();
  const int64_t begin = tile_row(tile);
  const int64_t count = tile_row(tile + 1) - begin;
  table_.rms_norm(work_.hidden + begin * width, width, count, width, norm, config_.rms_norm_eps,
                  work_.normed + begin * width, width);
  table_.pack_rows(work_.normed, width, rows(), width, tile, tile + 1, work_.packed);
}

void DecoderModel::Pack(const float* x, int64_t k) {
  pool_.Run(row_tiles(), 1, [&](int64_t begin, int64_t end, int32_t) {
    table_.pack_rows(x, k, rows(), k, begin, end, work_.packed);
  });
}

void DecoderModel::Project(int32_t layer, LoraInput input, const float* x,
                           std::initializer_list<Projection> group) {
  Shrink(layer, input, x,
         weights_.layers[static_cast<size_t>(layer)].linear(group.begin()->kind).k);
  std::array<LinearArgs, 3> args;
  std::array<int64_t, 4> first_tile{};  // linear i has the tiles [first_tile[i], first_tile[i + 1])
  size_t count = 0;
  for (const Projection& projection : group) {
    args[count] = Linear(layer, projection);
    const int64_t tiles = (args[count].n + kColumnTile - 1) / kColumnTile;
    first_tile[count + 1] = first_tile[count] + tiles;
    ++count;
  }
  pool_.Run(first_tile[count], 1, [&](int64_t begin, int64_t end, int32_t) {
    for (size_t i = 0; i < count; ++i) {
      const int64_t from = std::max(begin, first_tile[i]);
      const int64_t to = std::min(end, first_tile[i + 1]);
      if (from < to) table_.linear(args[i], from - first_tile[i], to - first_tile[i]);
    }
  });
}

void DecoderModel::Shrink(int32_t layer, LoraInput input, const float* x, int64_t ldx) {
  if (step_->lora == nullptr) return;
  LoraBatch& lora = *step_->lora;
  lora.Prepare(layer, input, x, ldx);
  pool_.Run(lora.task_count(), 1,
            [&](int64_t begin, int64_t end, int32_t) { lora.RunTasks(begin, end); });
}

LinearArgs DecoderModel::Linear(int32_t layer, const Projection& projection) const {
  const PackedLinear& linear = weights_.layers[static_cast<size_t>(layer)].linear(projection.kind);
  LinearArgs args;
  args.packed_x = work_.packed;
  args.rows = rows();
  args.packed_w = linear.packed;
  args.n = linear.n;
  args.k = linear.k;
  args.bias = linear.bias;
  args.y = projection.y;
  args.ldy = linear.n;
  if (step_->lora != nullptr) {
    const std::span<const kernels::LoraTerm> terms = step_->lora->Terms(projection.kind);
    args.lora = terms.data();
    args.lora_count = static_cast<int32_t>(terms.size());
  }
  return args;
}

const float* DecoderModel::Logits() {
  const int64_t width = hidden_size();
  const auto count = static_cast<int64_t>(step_->logit_rows.size());
  if (count == 0) return work_.logits;
  for (int64_t i = 0; i < count; ++i) {
    const float* hidden = work_.hidden + step_->logit_rows[static_cast<size_t>(i)] * width;
    table_.rms_norm(hidden, width, 1, width, weights_.final_norm, config_.rms_norm_eps,
                    work_.last + i * width, width);
  }
  const int64_t tiles = (count + head_table_.row_tile - 1) / head_table_.row_tile;
  head_table_.pack_rows(work_.last, width, count, width, 0, tiles, work_.packed);
  LinearArgs args;
  args.packed_x = work_.packed;
  args.rows = count;
  args.packed_w = weights_.head.packed;
  args.n = weights_.head.n;
  args.k = weights_.head.k;
  args.y = work_.logits;
  args.ldy = args.n;
  const int64_t column_tiles = (args.n + kColumnTile - 1) / kColumnTile;
  pool_.Run(column_tiles, 1,
            [&](int64_t begin, int64_t end, int32_t) { head_table_.linear(args, begin, end); });
  return work_.logits;
}

}  // namespace lamella
