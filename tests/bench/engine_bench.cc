#include "tests/bench/engine_bench.h"

#include <chrono>
#include <utility>

#include "common/base/status_macros.h"
#include "tests/testing/random_adapter.h"

namespace lamella::bench {
namespace {

using AdapterList = std::vector<std::unique_ptr<const AdapterWeights>>;

constexpr int32_t kWarmupSteps = 3;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// One cell of the table: its sequences stay in the cache for all rounds.
class Cell {
 public:
  // Takes blocks from `*next_block` on.
  Cell(int32_t batch, const AdapterList* adapters, const EngineBenchOptions& options,
       int32_t block_tokens, int32_t* next_block)
      : batch_(batch), adapters_(adapters), options_(options) {
    const int32_t tokens = options.context_tokens + options.steps + kWarmupSteps;
    history_.resize(static_cast<size_t>(tokens));
    tables_.resize(static_cast<size_t>(batch));
    for (std::vector<int32_t>& table : tables_) {
      for (int32_t t = 0; t < tokens; t += block_tokens) table.push_back((*next_block)++);
    }
  }

  absl::Status Prefill(CpuExecutor* executor) {
    double seconds = 0;
    for (int32_t i = 0; i < batch_; ++i) {
      input_.Clear();
      for (int32_t t = 0; t < options_.context_tokens; ++t) {
        input_.token_ids.push_back((i * 31 + t * 7) % executor->limits().vocab_size);
      }
      AddSequence(i, 0, options_.context_tokens, 0);
      ASSIGN_OR_RETURN(const double took, Run(executor));
      seconds += took;
    }
    prefill_tokens_per_second_ = batch_ * options_.context_tokens / seconds;
    return absl::OkStatus();
  }

  // The same positions in every round.
  absl::Status Round(CpuExecutor* executor) {
    std::vector<double> seconds;
    for (int32_t step = 0; step < kWarmupSteps + options_.steps; ++step) {
      input_.Clear();
      for (int32_t i = 0; i < batch_; ++i) {
        AddSequence(i, options_.context_tokens + step, 1, i);
        input_.token_ids.push_back((i * 17 + step) % executor->limits().vocab_size);
      }
      ASSIGN_OR_RETURN(const double took, Run(executor));
      if (step >= kWarmupSteps) seconds.push_back(took);
    }
    round_seconds_.push_back(Median(std::move(seconds)));
    return absl::OkStatus();
  }

  EngineBenchRow Row() const {
    const double seconds = Median(round_seconds_);
    return {batch_, adapters_ == nullptr ? "base" : "8 adapters", batch_ / seconds, seconds * 1e3,
            prefill_tokens_per_second_};
  }

 private:
  // Rows come in groups of one adapter, as a batch builder orders them.
  const AdapterWeights* AdapterOf(int32_t sequence) const {
    const int32_t index = batch_ < kBenchAdapters ? sequence : sequence * kBenchAdapters / batch_;
    return (*adapters_)[static_cast<size_t>(index % kBenchAdapters)].get();
  }

  void AddSequence(int32_t sequence, int32_t position, int32_t rows, int32_t row_begin) {
    SequenceRows one;
    one.row_begin = row_begin;
    one.row_count = rows;
    one.first_position = position;
    one.block_table = tables_[static_cast<size_t>(sequence)];
    one.sample = true;
    one.sampling = &greedy_;
    one.tokens = history_;
    one.prompt_tokens = position + rows;
    input_.sequences.push_back(one);
    if (adapters_ == nullptr) return;
    const AdapterWeights* adapter = AdapterOf(sequence);
    if (!input_.segments.empty() && input_.segments.back().weights == adapter) {
      input_.segments.back().row_end = row_begin + rows;
    } else {
      input_.segments.push_back({row_begin, row_begin + rows, adapter});
    }
  }

  absl::StatusOr<double> Run(CpuExecutor* executor) {
    const auto begin = std::chrono::steady_clock::now();
    executor->Launch(input_);
    RETURN_IF_ERROR(executor->Wait(&output_));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  int32_t batch_;
  const AdapterList* adapters_;  // null: base
  EngineBenchOptions options_;
  std::vector<std::vector<int32_t>> tables_;  // [batch]
  const SamplingParams greedy_;
  std::vector<int32_t> history_;  // of every sequence: greedy decoding does not look at it
  StepInput input_;
  StepOutput output_;
  std::vector<double> round_seconds_;
  double prefill_tokens_per_second_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<EngineBenchRow>> RunEngineBench(CpuExecutor* executor,
                                                           const EngineBenchOptions& options) {
  AdapterList adapters;
  for (uint32_t seed = 1; seed <= kBenchAdapters; ++seed) {
    adapters.push_back(testing::MakeRandomAdapter(executor->base_spec(), executor->kernel_table(),
                                                  {.seed = seed, .rank = options.rank}));
  }
  const ExecutorLimits& limits = executor->limits();
  std::vector<Cell> cells;
  int32_t next_block = 0;
  for (const int32_t batch : options.batches) {
    cells.emplace_back(batch, nullptr, options, limits.block_tokens, &next_block);
    cells.emplace_back(batch, &adapters, options, limits.block_tokens, &next_block);
  }
  if (next_block > limits.num_blocks) {
    return absl::InvalidArgumentError("the KV cache is too small for these batches");
  }
  for (Cell& cell : cells) RETURN_IF_ERROR(cell.Prefill(executor));
  for (int32_t round = 0; round < options.rounds; ++round) {
    for (Cell& cell : cells) RETURN_IF_ERROR(cell.Round(executor));
  }
  std::vector<EngineBenchRow> rows;
  for (const Cell& cell : cells) rows.push_back(cell.Row());
  return rows;
}

}  // namespace lamella::bench
