#include "tests/bench/kernels_bench.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <utility>

#include "common/base/status_macros.h"
#include "server/model/tensor_arena.h"
#include "tests/bench/bench_adapters.h"
#include "tests/bench/roofline.h"

namespace lamella::bench {
namespace {

using kernels::kBlockTokens;
using kernels::kColumnTile;
using kernels::LinearArgs;
using kernels::LoraTerm;
using kernels::ShrinkArgs;

constexpr int32_t kAttentionRows = 32;
constexpr int32_t kQueryHeads = 32;
constexpr int32_t kKvHeads = 8;
constexpr int32_t kHeadDim = 64;
constexpr int32_t kRanksPerTask = 4;
constexpr int64_t kHugePage = int64_t{2} << 20;

double Seconds(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::vector<float> RandomFloats(int64_t count) {
  std::mt19937 random(1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = std::uniform_real_distribution<float>(-1, 1)(random);
  return values;
}

// A figure under measurement: times of its rounds, and what a call must read and compute.
struct Cell {
  KernelsBenchRow row;
  double bytes = 0;
  double flops = 0;
  std::vector<double> seconds;
  std::vector<double> of_bandwidth;
  std::vector<double> of_peak;
  std::vector<double> retention;
};

class KernelsBench {
 public:
  KernelsBench(const kernels::KernelTable& table, kernels::ForkJoinPool* pool,
               const KernelsBenchOptions& options)
      : table_(table), pool_(*pool), options_(options) {}

  absl::StatusOr<KernelsBenchReport> Run() {
    RETURN_IF_ERROR(MakeMatrices());
    RETURN_IF_ERROR(MakeInputs());
    RETURN_IF_ERROR(MakeAdapters());
    RETURN_IF_ERROR(MakeCache());
    ListCells();
    for (int32_t round = 0; round < options_.rounds; ++round) {
      for (Cell& cell : cells_) MeasureBesideLimits(&cell);
    }
    KernelsBenchReport report;
    report.read_bandwidth = Median(bandwidths_);
    report.peak_flops = Median(peaks_);
    for (Cell& cell : cells_) report.rows.push_back(Judge(&cell));
    return report;
  }

 private:
  absl::Status MakeMatrices() {
    const auto bytes = static_cast<int64_t>(table_.packed_linear_bytes(options_.n, options_.k));
    const int64_t count = (options_.weight_bytes + bytes - 1) / bytes;
    ASSIGN_OR_RETURN(weights_, TensorArena::Reserve(count * bytes));
    for (int64_t i = 0; i < count; ++i) matrices_.push_back(weights_.TakeBytes(bytes));
    const std::vector<float> w = RandomFloats(options_.n * options_.k);
    table_.pack_linear(w.data(), 0, options_.n, options_.n, options_.k, matrices_[0]);
    for (int64_t i = 1; i < count; ++i) {
      std::memcpy(matrices_[static_cast<size_t>(i)], matrices_[0], static_cast<size_t>(bytes));
    }
    matrix_bytes_ = static_cast<double>(bytes);
    return absl::OkStatus();
  }

  // In huge pages, as a step's are.
  absl::Status MakeInputs() {
    const int32_t rows =
        std::max(kAttentionRows, *std::max_element(options_.rows.begin(), options_.rows.end()));
    const auto x_bytes = static_cast<size_t>(rows * options_.k) * sizeof(float);
    const auto y_bytes = static_cast<size_t>(rows * options_.n) * sizeof(float);
    const size_t packed_bytes = table_.packed_rows_bytes(rows, options_.k);
    ASSIGN_OR_RETURN(
        rows_,
        TensorArena::Reserve(static_cast<int64_t>(x_bytes + y_bytes + packed_bytes) + kHugePage));
    x_ = static_cast<float*>(rows_.TakeBytes(x_bytes));
    y_ = static_cast<float*>(rows_.TakeBytes(y_bytes));
    packed_x_ = rows_.TakeBytes(packed_bytes);
    const std::vector<float> x = RandomFloats(rows * options_.k);
    std::copy(x.begin(), x.end(), x_);
    v_.resize(static_cast<size_t>(rows) * static_cast<size_t>(options_.rank));
    return absl::OkStatus();
  }

  // As many for each matrix as its rows can have: nobody's adapter is in a cache by accident. In huge
  // pages, as a server's are.
  absl::Status MakeAdapters() {
    constexpr size_t kPadding = 64;  // between arrays, at most
    if (options_.adapters.empty()) return absl::OkStatus();
    const int32_t most = *std::max_element(options_.adapters.begin(), options_.adapters.end());
    const size_t a_bytes = table_.lora_a_bytes(options_.rank, options_.k);
    const size_t b_bytes = table_.lora_b_bytes(options_.n, options_.rank);
    const std::vector<float> a = RandomFloats(options_.rank * options_.k);
    const std::vector<float> b = RandomFloats(options_.n * options_.rank);
    const size_t count = matrices_.size() * static_cast<size_t>(most);
    ASSIGN_OR_RETURN(
        factors_,
        TensorArena::Reserve(static_cast<int64_t>(count * (a_bytes + b_bytes + 2 * kPadding))));
    for (size_t i = 0; i < count; ++i) {
      adapters_.push_back({factors_.TakeBytes(a_bytes), factors_.TakeBytes(b_bytes)});
      table_.pack_lora_a(a.data(), options_.rank, options_.k, adapters_.back().a);
      table_.pack_lora_b(b.data(), options_.n, options_.rank, 1, adapters_.back().b);
    }
    return absl::OkStatus();
  }

  absl::Status MakeCache() {
    const int64_t blocks = int64_t{kAttentionRows} * BlocksPerRow();
    const size_t bytes = static_cast<size_t>(blocks) * kKvHeads * table_.kv_block_bytes(kHeadDim);
    ASSIGN_OR_RETURN(cache_, TensorArena::Reserve(static_cast<int64_t>(2 * bytes)));
    k_cache_ = cache_.TakeBytes(bytes);
    v_cache_ = cache_.TakeBytes(bytes);
    std::memset(k_cache_, 0, bytes);  // zero pages that nobody wrote are all one page
    std::memset(v_cache_, 0, bytes);
    for (int32_t i = 0; i < blocks; ++i) blocks_.push_back(i);
    for (int32_t row = 0; row < kAttentionRows; ++row) {
      tables_.push_back(blocks_.data() + row * BlocksPerRow());
      positions_.push_back(options_.context_tokens - 1);
    }
    const size_t scratch =
        table_.attention_scratch_floats(kQueryHeads, kKvHeads, options_.context_tokens - 1);
    scratch_.resize(static_cast<size_t>(pool_.threads()) * scratch);
    scratch_floats_ = static_cast<int64_t>(scratch);
    q_ = RandomFloats(int64_t{kAttentionRows} * kQueryHeads * kHeadDim);
    attended_.resize(q_.size());
    return absl::OkStatus();
  }
  int32_t BlocksPerRow() const {
    return (options_.context_tokens + kBlockTokens - 1) / kBlockTokens;
  }

  void ListCells() {
    const double weights = static_cast<double>(options_.n) * static_cast<double>(options_.k);
    for (const int32_t rows : options_.rows) {
      Cell cell;
      cell.row.op = "linear";
      cell.row.rows = rows;
      cell.bytes = matrix_bytes_;
      cell.flops = 2 * weights * rows;
      cells_.push_back(cell);
    }
    for (const int32_t adapters : options_.adapters) {
      Cell cell;
      cell.row.op = "linear with adapters";
      cell.row.rows = std::max(kAttentionRows, adapters);
      cell.row.adapters = adapters;
      const double ranks = static_cast<double>(options_.n + options_.k) * options_.rank;
      cell.bytes = matrix_bytes_ + ranks * adapters * static_cast<double>(table_.element_bytes);
      cell.flops = 2 * (weights + ranks) * cell.row.rows;
      cells_.push_back(cell);
    }
    Cell cell;
    cell.row.op = "attention";
    cell.row.rows = kAttentionRows;
    const double positions = static_cast<double>(kAttentionRows) * options_.context_tokens;
    cell.bytes = 2 * positions / kBlockTokens * kKvHeads *
                 static_cast<double>(table_.kv_block_bytes(kHeadDim));
    cell.flops = 4 * positions * kQueryHeads * kHeadDim;
    cells_.push_back(cell);
  }

  // The limits directly before the figure: how fast a shared machine is changes from second to second.
  void MeasureBesideLimits(Cell* cell) {
    const double bandwidth = ReadBandwidth(&pool_);
    const double peak = PeakFlops(&pool_, table_.isa, table_.weight_type);
    Measure(cell);
    const double seconds = cell->seconds.back();
    cell->of_bandwidth.push_back(cell->bytes / bandwidth / seconds);
    cell->of_peak.push_back(peak > 0 ? cell->flops / peak / seconds : 0);
    bandwidths_.push_back(bandwidth);
    peaks_.push_back(peak);
  }

  void Measure(Cell* cell) {
    if (cell->row.op == "attention") {
      const auto begin = std::chrono::steady_clock::now();
      Attend();
      cell->seconds.push_back(Seconds(begin));
      return;
    }
    // One matrix with and without adapters directly after each other: a slow moment hits both.
    double plain = 0;
    double with = 0;
    for (size_t i = 0; i < matrices_.size(); ++i) {
      const auto begin = std::chrono::steady_clock::now();
      Linear(i, cell->row.rows, 0);
      plain += Seconds(begin);
      if (cell->row.adapters == 0) continue;
      const auto again = std::chrono::steady_clock::now();
      Linear((i + matrices_.size() / 2) % matrices_.size(), cell->row.rows, cell->row.adapters);
      with += Seconds(again);
    }
    const double count = static_cast<double>(matrices_.size());
    cell->seconds.push_back((cell->row.adapters == 0 ? plain : with) / count);
    if (cell->row.adapters > 0) cell->retention.push_back(plain / with);
  }

  // As the decoder does it: rows packed, v shrunk, then the product with the terms inside.
  void Linear(size_t matrix, int64_t rows, int32_t adapters) {
    const int64_t row_tiles = (rows + table_.row_tile - 1) / table_.row_tile;
    pool_.Run(row_tiles, 1, [&](int64_t begin, int64_t end, int32_t) {
      table_.pack_rows(x_, options_.k, rows, options_.k, begin, end, packed_x_);
    });
    if (adapters > 0) Shrink(matrix, static_cast<int32_t>(rows), adapters);
    LinearArgs args;
    args.packed_x = packed_x_;
    args.rows = rows;
    args.packed_w = matrices_[matrix];
    args.n = options_.n;
    args.k = options_.k;
    args.lora = terms_.data();
    args.lora_count = adapters;
    args.y = y_;
    args.ldy = options_.n;
    pool_.Run((options_.n + kColumnTile - 1) / kColumnTile, 1,
              [&](int64_t begin, int64_t end, int32_t) { table_.linear(args, begin, end); });
  }

  void Shrink(size_t matrix, int32_t rows, int32_t adapters) {
    terms_.clear();
    const auto first = static_cast<int64_t>(matrix) *
                       *std::max_element(options_.adapters.begin(), options_.adapters.end());
    for (int32_t i = 0; i < adapters; ++i) {
      LoraTerm term;
      term.row_begin = rows * i / adapters;
      term.row_end = rows * (i + 1) / adapters;
      term.rank = options_.rank;
      term.b = adapters_[static_cast<size_t>(first + i)].b;
      term.v = v_.data();
      term.ldv = options_.rank;
      terms_.push_back(term);
    }
    const int32_t parts = (options_.rank + kRanksPerTask - 1) / kRanksPerTask;
    pool_.Run(int64_t{adapters} * parts, 1, [&](int64_t begin, int64_t end, int32_t) {
      for (int64_t task = begin; task < end; ++task) {
        const LoraTerm& term = terms_[static_cast<size_t>(task / parts)];
        ShrinkArgs args;
        args.x = x_;
        args.ldx = options_.k;
        args.row_begin = term.row_begin;
        args.row_end = term.row_end;
        args.a = adapters_[static_cast<size_t>(first + task / parts)].a;
        args.rank = options_.rank;
        args.k = options_.k;
        args.v = v_.data();
        args.ldv = options_.rank;
        const auto rank = static_cast<int32_t>(task % parts) * kRanksPerTask;
        table_.lora_shrink(args, rank, std::min(rank + kRanksPerTask, options_.rank));
      }
    });
  }

  void Attend() {
    kernels::AttentionArgs args;
    args.q = q_.data();
    args.ldq = int64_t{kQueryHeads} * kHeadDim;
    args.k_cache = k_cache_;
    args.v_cache = v_cache_;
    args.positions = positions_.data();
    args.block_tables = tables_.data();
    args.q_heads = kQueryHeads;
    args.kv_heads = kKvHeads;
    args.head_dim = kHeadDim;
    args.scale = 0.125F;
    args.out = attended_.data();
    args.ldo = args.ldq;
    pool_.Run(int64_t{kAttentionRows} * kKvHeads, 1, [&](int64_t begin, int64_t end, int32_t who) {
      table_.attention(args, begin, end, scratch_.data() + who * scratch_floats_);
    });
  }

  static KernelsBenchRow Judge(Cell* cell) {
    KernelsBenchRow row = cell->row;
    row.seconds = Median(std::move(cell->seconds));
    row.bandwidth_share = Median(std::move(cell->of_bandwidth));
    row.peak_share = Median(std::move(cell->of_peak));
    row.roofline_share = std::max(row.bandwidth_share, row.peak_share);
    if (!cell->retention.empty()) row.retention = Median(std::move(cell->retention));
    return row;
  }

  struct Adapter {
    void* a;
    void* b;
  };

  const kernels::KernelTable& table_;
  kernels::ForkJoinPool& pool_;
  const KernelsBenchOptions options_;
  std::vector<Cell> cells_;
  std::vector<double> bandwidths_;
  std::vector<double> peaks_;
  TensorArena weights_;
  std::vector<void*> matrices_;
  double matrix_bytes_ = 0;
  TensorArena factors_;
  std::vector<Adapter> adapters_;
  TensorArena rows_;
  float* x_ = nullptr;        // float [rows][k]
  float* y_ = nullptr;        // float [rows][n]
  void* packed_x_ = nullptr;  // pack_rows' output
  std::vector<float> v_;
  std::vector<LoraTerm> terms_;
  TensorArena cache_;
  void* k_cache_ = nullptr;
  void* v_cache_ = nullptr;
  std::vector<int32_t> blocks_;
  std::vector<const int32_t*> tables_;
  std::vector<int32_t> positions_;
  std::vector<float> q_;
  std::vector<float> attended_;
  std::vector<float> scratch_;
  int64_t scratch_floats_ = 0;
};

}  // namespace

absl::StatusOr<KernelsBenchReport> RunKernelsBench(const kernels::KernelTable& table,
                                                   kernels::ForkJoinPool* pool,
                                                   const KernelsBenchOptions& options) {
  return KernelsBench(table, pool, options).Run();
}

}  // namespace lamella::bench
