#include "tests/bench/engine_bench.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "tests/bench/adapter_shelf.h"
#include "tests/bench/roofline.h"
#include "tests/bench/zipf_draw.h"

namespace lamella::bench {
namespace {

// The KV cache of all cases: sequences that each may decode, and a prompt. What stands in it
// changes no time, so cases write over each other's tokens.
struct Sequences {
  std::vector<std::vector<int32_t>> tables;
  std::vector<int32_t> prompt_table;
  std::vector<int32_t> history;  // of every sequence: greedy decoding does not look at it
  SamplingParams greedy;
};

void AddRows(const Sequences& sequences, const std::vector<int32_t>& table, int32_t first_position,
             int32_t rows, StepInput* input) {
  SequenceRows one;
  one.row_begin = input->rows();
  one.row_count = rows;
  one.first_position = first_position;
  one.block_table = table;
  one.sample = true;
  one.sampling = &sequences.greedy;
  one.tokens = sequences.history;
  one.prompt_tokens = first_position + rows;
  for (int32_t row = 0; row < rows; ++row) {
    input->token_ids.push_back((one.row_begin * 31 + row * 7 + first_position) % 1000);
  }
  input->sequences.push_back(one);
}

// The rows from `row_begin` on are `weights`'; a segment grows while the adapter is the same.
void AddSegment(const AdapterWeights* weights, int32_t row_begin, StepInput* input) {
  if (weights == nullptr) return;
  if (!input->segments.empty() && input->segments.back().weights == weights) {
    input->segments.back().row_end = input->rows();
  } else {
    input->segments.push_back({row_begin, input->rows(), weights});
  }
}

absl::StatusOr<double> RunStep(CpuExecutor* executor, const StepInput& input) {
  StepOutput output;
  output.sampled.reserve(input.sequences.size());
  const auto begin = std::chrono::steady_clock::now();
  executor->Launch(input);
  RETURN_IF_ERROR(executor->Wait(&output));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// One case: who is in its next step, and how long its steps took.
class Cell {
 public:
  explicit Cell(const EngineCase& what)
      : what_(what),
        draw_(static_cast<size_t>(std::max(what.resident, 1)), what.zipf, 7),
        chosen_(static_cast<size_t>(what.base() ? 0 : what.rows)) {
    row_.what = what;
  }

  // What the steps of the next round may take.
  std::vector<AdapterShelf::Key> DrawRound() {
    std::vector<AdapterShelf::Key> keys;
    if (what_.zipf > 0) {
      for (int32_t& adapter : chosen_) adapter = static_cast<int32_t>(draw_.Next());
      // A builder puts the rows of an adapter side by side.
      std::sort(chosen_.begin(), chosen_.end());
      for (const int32_t adapter : chosen_) keys.push_back(KeyOf(adapter));
      return keys;
    }
    for (int32_t i = 0; i < what_.resident; ++i) keys.push_back(KeyOf(i));
    return keys;
  }

  absl::Status Step(CpuExecutor* executor, const AdapterShelf& shelf, const Sequences& sequences,
                    int32_t position, bool counted) {
    if (what_.zipf == 0) Rotate();
    double seconds = 0;
    for (int32_t begin = 0; begin < what_.rows;) {
      const int32_t end = StepEnd(begin);
      Fill(shelf, sequences, position, begin, end);
      ASSIGN_OR_RETURN(const double took, RunStep(executor, input_));
      seconds += took;
      begin = end;
    }
    if (counted) {
      row_.seconds.push_back(seconds);
      CountAdapters(shelf);
    }
    return absl::OkStatus();
  }

  EngineBenchRow Row() const {
    EngineBenchRow row = row_;
    const auto steps = static_cast<double>(row.seconds.size());
    for (double* sum : {&row.adapters, &row.adapter_rank, &row.adapter_bytes, &row.row_rank}) {
      *sum /= steps;
    }
    return row;
  }

 private:
  AdapterShelf::Key KeyOf(int32_t adapter) const { return {what_.RankOf(adapter), adapter}; }

  // Each step takes the next ones of those that are resident.
  void Rotate() {
    for (size_t row = 0; row < chosen_.size(); ++row) {
      const auto slot = static_cast<int32_t>(row) * what_.adapters / what_.rows;
      chosen_[row] = (next_ + slot) % what_.resident;
    }
    next_ = (next_ + what_.adapters) % std::max(what_.resident, 1);
  }

  // The end of the rows that go into one step with row `begin`.
  int32_t StepEnd(int32_t begin) const {
    if (what_.kind != EngineCase::Kind::kSequential) return what_.rows;
    const int32_t adapter = chosen_[static_cast<size_t>(begin)];
    int32_t end = begin;
    while (end < what_.rows && chosen_[static_cast<size_t>(end)] == adapter) ++end;
    return end;
  }

  void Fill(const AdapterShelf& shelf, const Sequences& sequences, int32_t position, int32_t begin,
            int32_t end) {
    input_.Clear();
    const auto adapter_of = [&](int32_t row) {
      return what_.base() ? nullptr : shelf.at(KeyOf(chosen_[static_cast<size_t>(row)]));
    };
    if (what_.kind == EngineCase::Kind::kPrefill) {
      AddRows(sequences, sequences.prompt_table, 0, what_.rows, &input_);
      AddSegment(adapter_of(0), 0, &input_);
      return;
    }
    for (int32_t row = begin; row < end; ++row) {
      AddRows(sequences, sequences.tables[static_cast<size_t>(row)], position, 1, &input_);
      AddSegment(adapter_of(row), row - begin, &input_);
    }
  }

  void CountAdapters(const AdapterShelf& shelf) {
    for (const int32_t adapter : chosen_) row_.row_rank += what_.RankOf(adapter);
    for (const int32_t adapter : std::set<int32_t>(chosen_.begin(), chosen_.end())) {
      row_.adapters += 1;
      row_.adapter_rank += what_.RankOf(adapter);
      row_.adapter_bytes += static_cast<double>(shelf.at(KeyOf(adapter))->packed_bytes());
    }
  }

  const EngineCase what_;
  ZipfDraw draw_;
  std::vector<int32_t> chosen_;  // [rows]: the adapter of each; empty: the base
  int32_t next_ = 0;             // among those that are resident
  StepInput input_;
  EngineBenchRow row_;
};

absl::StatusOr<Sequences> PlaceSequences(const ExecutorLimits& limits,
                                         const EngineBenchOptions& options) {
  Sequences out;
  int32_t decoding = 0;
  int32_t prompt = 0;
  for (const EngineCase& one : options.cases) {
    int32_t& most = one.kind == EngineCase::Kind::kPrefill ? prompt : decoding;
    most = std::max(most, one.rows);
  }
  int32_t next_block = 0;
  const auto place = [&](int32_t tokens, std::vector<int32_t>* table) {
    for (int32_t t = 0; t < tokens; t += limits.block_tokens) table->push_back(next_block++);
  };
  const int32_t tokens = options.context_tokens + options.steps;
  out.tables.resize(static_cast<size_t>(decoding));
  for (std::vector<int32_t>& table : out.tables) place(tokens, &table);
  place(prompt, &out.prompt_table);
  out.history.resize(static_cast<size_t>(std::max(tokens, prompt)));
  if (next_block <= limits.num_blocks) return out;
  return absl::InvalidArgumentError(absl::StrCat("these cases need a KV cache of ", next_block,
                                                 " blocks; it has ", limits.num_blocks));
}

// As many sequences in a step as fit.
absl::Status FillContexts(CpuExecutor* executor, const Sequences& sequences,
                          const EngineBenchOptions& options) {
  StepInput input;
  for (const std::vector<int32_t>& table : sequences.tables) {
    if (input.rows() + options.context_tokens > executor->limits().max_rows) {
      RETURN_IF_ERROR(RunStep(executor, input).status());
      input.Clear();
    }
    AddRows(sequences, table, 0, options.context_tokens, &input);
  }
  return RunStep(executor, input).status();
}

// Every case once, back and forth, so that none is always behind the same other one.
absl::Status TakeTurns(CpuExecutor* executor, const AdapterShelf& shelf, const Sequences& sequences,
                       const EngineBenchOptions& options, std::vector<Cell>* cells) {
  for (int32_t step = 0; step < options.steps; ++step) {
    for (size_t i = 0; i < cells->size(); ++i) {
      Cell& cell = (*cells)[step % 2 == 0 ? i : cells->size() - 1 - i];
      RETURN_IF_ERROR(cell.Step(executor, shelf, sequences, options.context_tokens + step,
                                /*counted=*/true));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EngineBenchReport> RunEngineBench(CpuExecutor* executor,
                                                 const EngineBenchOptions& options) {
  ASSIGN_OR_RETURN(const Sequences sequences, PlaceSequences(executor->limits(), options));
  RETURN_IF_ERROR(FillContexts(executor, sequences, options));
  AdapterShelf shelf(executor->base_spec(), executor->kernel_table());
  std::vector<Cell> cells(options.cases.begin(), options.cases.end());
  double bandwidth = 0;
  double peak = 0;
  for (int32_t round = 0; round < options.rounds; ++round) {
    for (Cell& cell : cells) shelf.Make(cell.DrawRound(), options.threads);
    if (round == 0) {
      for (Cell& cell : cells) {
        RETURN_IF_ERROR(cell.Step(executor, shelf, sequences, options.context_tokens,
                                  /*counted=*/false));
      }
    }
    kernels::ForkJoinPool pool(options.threads);
    bandwidth = std::max(bandwidth, ReadBandwidth(&pool));
    const kernels::KernelTable& table = executor->kernel_table();
    peak = std::max(peak, PeakFlops(&pool, table.isa, table.weight_type));
    RETURN_IF_ERROR(TakeTurns(executor, shelf, sequences, options, &cells));
  }
  EngineBenchReport report{bandwidth, peak, {}};
  for (const Cell& cell : cells) report.rows.push_back(cell.Row());
  return report;
}

}  // namespace lamella::bench
