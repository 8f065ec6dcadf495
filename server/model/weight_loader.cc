#include "server/model/weight_loader.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

using kernels::ForkJoinPool;
using kernels::kColumnTile;
using kernels::KernelTable;

// Decoded fp32 at a time and thread.
constexpr int64_t kChunkFloats = int64_t{512} << 10;

// A tensor and where its values go.
struct Target {
  std::string name;
  int64_t rows = 1;
  int64_t columns = 0;
  const KernelTable* table = nullptr;  // a matrix: what packs it
  void* packed = nullptr;              // pack_linear's output
  float* floats = nullptr;             // a vector: as it is
};

// Some rows of a target: what one thread reads and packs at once.
struct Chunk {
  size_t target = 0;
  int64_t row_begin = 0;
  int64_t row_end = 0;
};

// Cuts a ModelWeights from an arena and lists what must be read into it.
class Layout {
 public:
  Layout(ModelWeights* weights, std::vector<Target>* targets)
      : weights_(*weights), config_(weights->config), targets_(*targets) {}

  void Run() {
    weights_.layers.assign(static_cast<size_t>(config_.num_layers), LayerWeights());
    targets_.clear();
    weights_.embedding = Matrix(*weights_.head_table, "model.embed_tokens.weight",
                                config_.vocab_size, config_.hidden_size);
    for (int32_t i = 0; i < config_.num_layers; ++i) Layer(i);
    weights_.final_norm = Vector("model.norm.weight", config_.hidden_size);
    weights_.head = config_.tie_word_embeddings ? weights_.embedding
                                                : Matrix(*weights_.head_table, "lm_head.weight",
                                                         config_.vocab_size, config_.hidden_size);
  }

 private:
  PackedLinear Matrix(const KernelTable& table, std::string name, int64_t n, int64_t k) {
    void* packed = weights_.arena.TakeBytes(table.packed_linear_bytes(n, k));
    targets_.push_back({std::move(name), n, k, &table, packed, nullptr});
    return {packed, nullptr, n, k};
  }

  const float* Vector(std::string name, int64_t size) {
    auto* floats = weights_.arena.Take<float>(size);
    targets_.push_back({std::move(name), 1, size, nullptr, nullptr, floats});
    return floats;
  }

  void Layer(int32_t index) {
    LayerWeights& layer = weights_.layers[static_cast<size_t>(index)];
    const std::string prefix = "model.layers." + std::to_string(index) + ".";
    for (int32_t kind = 0; kind < kModuleKinds; ++kind) {
      layer.linears[static_cast<size_t>(kind)] = Linear(index, static_cast<ModuleKind>(kind));
    }
    const int64_t hidden = config_.hidden_size;
    layer.input_norm = Vector(prefix + "input_layernorm.weight", hidden);
    layer.post_attention_norm = Vector(prefix + "post_attention_layernorm.weight", hidden);
    if (config_.post_norms) {
      layer.pre_ff_norm = Vector(prefix + "pre_feedforward_layernorm.weight", hidden);
      layer.post_ff_norm = Vector(prefix + "post_feedforward_layernorm.weight", hidden);
    }
    if (config_.qk_norm) {
      layer.q_norm = Vector(prefix + "self_attn.q_norm.weight", config_.head_dim);
      layer.k_norm = Vector(prefix + "self_attn.k_norm.weight", config_.head_dim);
    }
  }

  PackedLinear Linear(int32_t layer, ModuleKind kind) {
    const int64_t hidden = config_.hidden_size;
    const int64_t intermediate = config_.intermediate_size;
    const int64_t q_size = int64_t{config_.num_q_heads} * config_.head_dim;
    const int64_t kv_size = int64_t{config_.num_kv_heads} * config_.head_dim;
    const std::string path = ModulePath(layer, kind);
    const std::string name = path + ".weight";
    switch (kind) {
      case ModuleKind::kQ:
        return WithBias(path, Matrix(*weights_.table, name, q_size, hidden));
      case ModuleKind::kK:
      case ModuleKind::kV:
        return WithBias(path, Matrix(*weights_.table, name, kv_size, hidden));
      case ModuleKind::kO:
        return Matrix(*weights_.table, name, hidden, q_size);
      case ModuleKind::kGate:
      case ModuleKind::kUp:
        return Matrix(*weights_.table, name, intermediate, hidden);
      case ModuleKind::kDown:
        return Matrix(*weights_.table, name, hidden, intermediate);
    }
    return {};
  }

  PackedLinear WithBias(const std::string& path, PackedLinear linear) {
    if (config_.qkv_bias) linear.bias = Vector(path + ".bias", linear.n);
    return linear;
  }

  ModelWeights& weights_;
  const ModelConfig& config_;
  std::vector<Target>& targets_;
};

std::vector<Chunk> MakeChunks(const std::vector<Target>& targets) {
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < targets.size(); ++i) {
    const Target& target = targets[i];
    const int64_t tiles = std::max<int64_t>(1, kChunkFloats / (target.columns * kColumnTile));
    const int64_t step = tiles * kColumnTile;
    for (int64_t row = 0; row < target.rows; row += step) {
      chunks.push_back({i, row, std::min(row + step, target.rows)});
    }
  }
  return chunks;
}

// Reads chunks on several threads; keeps the first error.
class ChunkReader {
 public:
  ChunkReader(const WeightSource& source, const std::vector<Target>& targets,
              const std::vector<Chunk>& chunks)
      : source_(source), targets_(targets), chunks_(chunks) {}

  absl::Status Read(ForkJoinPool* pool) {
    pool->Run(pool->threads(), 1, [this](int64_t, int64_t, int32_t) { ReadUntilDone(); });
    MutexLock lock(&mutex_);
    return status_;
  }

 private:
  void ReadUntilDone() {
    std::vector<float> buffer;
    while (true) {
      const size_t index = next_.fetch_add(1);
      if (index >= chunks_.size()) return;
      const absl::Status status = ReadChunk(chunks_[index], &buffer);
      if (status.ok()) continue;
      next_.store(chunks_.size());
      MutexLock lock(&mutex_);
      status_.Update(status);
    }
  }

  absl::Status ReadChunk(const Chunk& chunk, std::vector<float>* buffer) const {
    const Target& target = targets_[chunk.target];
    const int64_t rows = chunk.row_end - chunk.row_begin;
    if (target.floats != nullptr) {
      return source_.ReadRows(target.name, chunk.row_begin, chunk.row_end, target.floats);
    }
    buffer->resize(static_cast<size_t>(rows * target.columns));
    RETURN_IF_ERROR(source_.ReadRows(target.name, chunk.row_begin, chunk.row_end, buffer->data()));
    target.table->pack_linear(buffer->data(), chunk.row_begin, rows, target.rows, target.columns,
                              target.packed);
    return absl::OkStatus();
  }

  const WeightSource& source_;
  const std::vector<Target>& targets_;
  const std::vector<Chunk>& chunks_;
  std::atomic<size_t> next_{0};
  Mutex mutex_;
  absl::Status status_ GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<const ModelWeights>> LoadModelWeights(const WeightSource& source,
                                                                     const KernelTable& table,
                                                                     const KernelTable& head_table,
                                                                     ForkJoinPool* pool) {
  auto weights = std::make_unique<ModelWeights>();
  weights->config = source.config();
  weights->table = &table;
  weights->head_table = &head_table;
  std::vector<Target> targets;
  Layout layout(weights.get(), &targets);
  layout.Run();  // measures
  ASSIGN_OR_RETURN(weights->arena, TensorArena::Reserve(weights->arena.used_bytes()));
  layout.Run();
  const std::vector<Chunk> chunks = MakeChunks(targets);
  ChunkReader reader(source, targets, chunks);
  RETURN_IF_ERROR(reader.Read(pool));
  return std::unique_ptr<const ModelWeights>(std::move(weights));
}

}  // namespace lamella
