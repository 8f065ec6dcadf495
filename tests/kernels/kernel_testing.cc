#include "tests/kernels/kernel_testing.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "tests/kernels/portable_twin.h"

namespace lamella::kernels::testing {

std::vector<TableId> AvailableTables() {
  std::vector<TableId> tables;
  for (const Isa isa : kAllIsas) {
    if (!IsaAvailable(isa)) continue;
    const std::string name = IsaName(isa);
    tables.push_back({name + "_bf16_int8kv",
                      GetKernelTable(isa, WeightType::kBF16, Quantization::kNone, KvType::kInt8)});
    for (const Quantization q : {Quantization::kNone, Quantization::kInt8, Quantization::kInt4}) {
      const std::string base = q == Quantization::kNone ? "" : QuantizationName(q);
      tables.push_back({name + "_f32" + base, GetKernelTable(isa, WeightType::kF32, q)});
      tables.push_back({name + "_bf16" + base, GetKernelTable(isa, WeightType::kBF16, q)});
    }
    for (const MatmulPrecision precision : {MatmulPrecision::kHigh, MatmulPrecision::kMedium}) {
      const KernelTable* table =
          GetKernelTable(isa, WeightType::kBF16, Quantization::kNone, KvType::kServing, precision);
      if (table == GetKernelTable(isa, WeightType::kBF16)) continue;
      tables.push_back({name + (precision == MatmulPrecision::kHigh ? "_high" : "_medium"), table});
    }
  }
  tables.push_back({"twin_of_dots_medium", &DotTwinTable(MatmulPrecision::kMedium)});
  tables.push_back({"twin_of_dots_high", &DotTwinTable(MatmulPrecision::kHigh)});
  tables.push_back({"twin_of_matrix_tiles_medium", &MatrixTwinTable(MatmulPrecision::kMedium)});
  tables.push_back({"twin_of_matrix_tiles_high", &MatrixTwinTable(MatmulPrecision::kHigh)});
  tables.push_back({"twin_of_matrix_tiles_int8", &Int8MatrixTwinTable()});
  return tables;
}

std::vector<TableId> TablesByQuantized(bool quantized) {
  std::vector<TableId> tables = AvailableTables();
  std::erase_if(tables, [quantized](const TableId& id) {
    return (id.table->quantization != Quantization::kNone) != quantized;
  });
  return tables;
}

std::string TableName(const ::testing::TestParamInfo<TableId>& info) { return info.param.name; }

float ActivationError(const TableId& id) {
  if (id.table->quantization != Quantization::kNone) {
    return id.table->isa == Isa::kReference ? 0 : 0x1p-16f;
  }
  switch (id.table->precision) {
    case MatmulPrecision::kAuto:
      return 0;
    case MatmulPrecision::kHigh:
      return 0x1p-17f;
    case MatmulPrecision::kMedium:
      return 0x1p-9f;
  }
  return kNan;
}

std::vector<float> RandomFloats(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

std::vector<std::byte> NanBytes(size_t bytes) { return {bytes, std::byte{0xff}}; }

::testing::AssertionResult SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << "sizes differ";
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0) {
      return ::testing::AssertionFailure()
             << "element " << i << " of " << a.size() << ": " << a[i] << " and " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult Near(const std::vector<float>& a, const std::vector<float>& b,
                                float tolerance) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << "sizes differ";
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i]) || !(std::abs(a[i] - b[i]) <= tolerance)) {
      return ::testing::AssertionFailure() << "element " << i << " of " << a.size() << ": " << a[i]
                                           << " and " << b[i] << ", tolerance " << tolerance;
    }
  }
  return ::testing::AssertionSuccess();
}

std::vector<Range> RandomCuts(int64_t count, int64_t grain, std::mt19937& random) {
  std::vector<Range> ranges;
  for (int64_t begin = 0; begin < count;) {
    const int64_t units = (count - begin + grain - 1) / grain;
    const int64_t take = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(units));
    const int64_t end = std::min(count, begin + take * grain);
    ranges.push_back({begin, end});
    begin = end;
  }
  std::shuffle(ranges.begin(), ranges.end(), random);
  return ranges;
}

std::vector<float> LinearProblem::X() const {
  std::vector<float> x = RandomFloats(rows * k, seed * 7919 + 1);
  for (float& value : x) value *= x_scale;
  return x;
}
std::vector<float> LinearProblem::W() const { return RandomFloats(n * k, seed * 7919 + 2); }
std::vector<float> LinearProblem::Bias() const { return RandomFloats(n, seed * 7919 + 3); }

namespace {

int64_t Tiles(int64_t n) { return (n + kColumnTile - 1) / kColumnTile; }

// The adapters of one call: packed factors and shrunk rows, kept alive for the terms.
struct PackedAdapters {
  std::vector<std::vector<std::byte>> b;
  std::vector<float> v;
  std::vector<LoraTerm> terms;
};

void AddTerm(const KernelTable& table, const LinearProblem& problem, const std::vector<float>& x,
             SegmentSpec segment, Range rows, int64_t ldv, PackedAdapters* adapters) {
  const int64_t begin = std::max<int64_t>(segment.row_begin, rows.begin) - rows.begin;
  const int64_t end = std::min<int64_t>(segment.row_end, rows.end) - rows.begin;
  const bool empty = segment.row_begin == segment.row_end;
  if (begin >= end && !(empty && begin >= 0 && begin <= rows.end - rows.begin)) return;
  const std::vector<float> a = RandomFloats(segment.rank * problem.k, segment.seed * 31 + 5);
  const std::vector<float> b = RandomFloats(problem.n * segment.rank, segment.seed * 31 + 6);
  adapters->b.push_back(NanBytes(table.lora_b_bytes(problem.n, segment.rank)));
  table.pack_lora_b(b.data(), problem.n, segment.rank, 0.5f, adapters->b.back().data());
  const std::vector<float> v =
      RunShrink(table, x, problem.k, {begin, std::max(begin, end)}, a, segment.rank);
  for (int64_t row = begin; row < end; ++row) {
    std::copy_n(v.data() + (row - begin) * segment.rank, segment.rank,
                adapters->v.data() + row * ldv);
  }
  adapters->terms.push_back({.row_begin = static_cast<int32_t>(begin),
                             .row_end = static_cast<int32_t>(std::max(begin, end)),
                             .rank = segment.rank,
                             .b = adapters->b.back().data(),
                             .v = adapters->v.data(),
                             .ldv = ldv});
}

}  // namespace

std::vector<float> RunLinear(const KernelTable& table, const LinearProblem& problem, Range rows,
                             const std::vector<Range>& tile_ranges) {
  constexpr int64_t kGap = 3;  // floats between rows, to catch a write beyond n
  const int64_t count = rows.end - rows.begin;
  const std::vector<float> all_x = problem.X();
  const std::vector<float> x(all_x.begin() + rows.begin * problem.k,
                             all_x.begin() + rows.end * problem.k);
  const std::vector<float> w = problem.W();
  const std::vector<float> bias = problem.Bias();

  std::vector<std::byte> packed_w = NanBytes(table.packed_linear_bytes(problem.n, problem.k));
  table.pack_linear(w.data(), 0, problem.n, problem.n, problem.k, packed_w.data());
  std::vector<std::byte> packed_x = NanBytes(table.packed_rows_bytes(count, problem.k));
  table.pack_rows(x.data(), problem.k, count, problem.k, 0,
                  (count + table.row_tile - 1) / table.row_tile, packed_x.data());

  PackedAdapters adapters;
  int64_t ldv = 1;
  for (const SegmentSpec& segment : problem.segments) ldv = std::max<int64_t>(ldv, segment.rank);
  adapters.v.assign(count * ldv, kNan);  // only the true rank of a row's own adapter may be read
  adapters.b.reserve(problem.segments.size());
  for (const SegmentSpec& segment : problem.segments) {
    AddTerm(table, problem, x, segment, rows, ldv, &adapters);
  }

  std::vector<float> y(count * (problem.n + kGap), kNan);
  const LinearArgs args = {.packed_x = packed_x.data(),
                           .rows = count,
                           .packed_w = packed_w.data(),
                           .n = problem.n,
                           .k = problem.k,
                           .bias = problem.with_bias ? bias.data() : nullptr,
                           .lora = adapters.terms.data(),
                           .lora_count = static_cast<int32_t>(adapters.terms.size()),
                           .y = y.data(),
                           .ldy = problem.n + kGap};
  if (tile_ranges.empty()) table.linear(args, 0, Tiles(problem.n));
  for (const Range& range : tile_ranges) table.linear(args, range.begin, range.end);

  std::vector<float> result;
  for (int64_t row = 0; row < count; ++row) {
    const float* at = y.data() + row * (problem.n + kGap);
    result.insert(result.end(), at, at + problem.n);
    for (int64_t i = 0; i < kGap; ++i) EXPECT_TRUE(std::isnan(at[problem.n + i])) << "row " << row;
  }
  return result;
}

std::vector<float> RunLinear(const KernelTable& table, const LinearProblem& problem) {
  return RunLinear(table, problem, {0, problem.rows});
}

float RunOneOutput(const KernelTable& table, const OneOutput& problem) {
  std::vector<std::byte> w = NanBytes(table.packed_linear_bytes(1, 2));
  table.pack_linear(problem.w, 0, 1, 1, 2, w.data());
  std::vector<std::byte> x = NanBytes(table.packed_rows_bytes(1, 2));
  table.pack_rows(problem.x, 2, 1, 2, 0, 1, x.data());
  std::vector<std::byte> b = NanBytes(table.lora_b_bytes(1, 1));
  table.pack_lora_b(&problem.b, 1, 1, 0.25f, b.data());
  const LoraTerm term = {
      .row_begin = 0, .row_end = 1, .rank = 1, .b = b.data(), .v = &problem.v, .ldv = 1};
  float y = 0;
  table.linear({.packed_x = x.data(),
                .rows = 1,
                .packed_w = w.data(),
                .n = 1,
                .k = 2,
                .bias = &problem.bias,
                .lora = &term,
                .lora_count = 1,
                .y = &y,
                .ldy = 1},
               0, 1);
  return y;
}

std::vector<float> RunShrink(const KernelTable& table, const std::vector<float>& x, int64_t k,
                             Range rows, const std::vector<float>& a, int32_t rank,
                             const std::vector<Range>& rank_ranges) {
  const int64_t ldv = rank + 2;
  std::vector<std::byte> packed = NanBytes(table.lora_a_bytes(rank, k));
  table.pack_lora_a(a.data(), rank, k, packed.data());
  std::vector<float> v(rows.end * ldv, kNan);
  const ShrinkArgs args = {.x = x.data(),
                           .ldx = k,
                           .row_begin = static_cast<int32_t>(rows.begin),
                           .row_end = static_cast<int32_t>(rows.end),
                           .a = packed.data(),
                           .rank = rank,
                           .k = k,
                           .v = v.data(),
                           .ldv = ldv};
  if (rank_ranges.empty()) table.lora_shrink(args, 0, rank);
  for (const Range& range : rank_ranges) {
    table.lora_shrink(args, static_cast<int32_t>(range.begin), static_cast<int32_t>(range.end));
  }
  std::vector<float> result;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const float* at = v.data() + row * ldv;
    result.insert(result.end(), at, at + rank);
    EXPECT_TRUE(std::isnan(at[rank]) && std::isnan(at[rank + 1]));
  }
  return result;
}

namespace {

// The paged cache of a problem: sequences' blocks are shuffled, unused slots are NaN.
class Cache {
 public:
  Cache(const KernelTable& table, const AttentionProblem& problem) : problem_(problem) {
    int32_t sequences = 0;
    for (int32_t s : problem.sequence_of) sequences = std::max(sequences, s + 1);
    std::vector<int32_t> lengths(sequences);
    for (size_t row = 0; row < problem.positions.size(); ++row) {
      int32_t& length = lengths[problem.sequence_of[row]];
      length = std::max(length, problem.positions[row] + 1);
    }
    int32_t blocks = 1;  // block 0 stays unused
    for (int32_t length : lengths) {
      tables_.emplace_back((length + kBlockTokens - 1) / kBlockTokens);
      std::iota(tables_.back().rbegin(), tables_.back().rend(), blocks);
      blocks += static_cast<int32_t>(tables_.back().size());
    }
    const size_t bytes =
        static_cast<size_t>(blocks) * problem.kv_heads * table.kv_block_bytes(problem.head_dim);
    k_ = NanBytes(bytes);
    v_ = NanBytes(bytes);
    for (int32_t s = 0; s < sequences; ++s) Write(table, s, lengths[s]);
  }

  std::vector<int32_t> TableOf(int64_t row) const {
    std::vector<int32_t> table = tables_[problem_.sequence_of[row]];
    if (!problem_.forget_before_window) return table;
    const int32_t begin = std::max(0, problem_.positions[row] - problem_.window + 1);
    std::fill_n(table.begin(), begin / kBlockTokens, std::numeric_limits<int32_t>::max());
    return table;
  }
  const void* k() const { return k_.data(); }
  const void* v() const { return v_.data(); }

 private:
  void Write(const KernelTable& table, int32_t sequence, int32_t length) {
    const int64_t width = static_cast<int64_t>(problem_.kv_heads) * problem_.head_dim;
    const uint32_t seed = problem_.seed * 104729 + sequence * 2;
    const std::vector<float> k = RandomFloats(length * width, seed);
    const std::vector<float> v = RandomFloats(length * width, seed + 1);
    std::vector<int32_t> positions(length);
    std::iota(positions.begin(), positions.end(), 0);
    const std::vector<const int32_t*> tables(length, tables_[sequence].data());
    table.kv_write({.k = k.data(),
                    .v = v.data(),
                    .ldk = width,
                    .ldv = width,
                    .k_cache = k_.data(),
                    .v_cache = v_.data(),
                    .positions = positions.data(),
                    .block_tables = tables.data(),
                    .kv_heads = problem_.kv_heads,
                    .head_dim = problem_.head_dim},
                   0, length);
  }

  const AttentionProblem& problem_;
  std::vector<std::vector<int32_t>> tables_;
  std::vector<std::byte> k_;
  std::vector<std::byte> v_;
};

}  // namespace

std::vector<float> RunAttention(const KernelTable& table, const AttentionProblem& problem,
                                Range rows, const std::vector<Range>& task_ranges) {
  const Cache cache(table, problem);
  const int64_t count = rows.end - rows.begin;
  const int64_t width = static_cast<int64_t>(problem.q_heads) * problem.head_dim;
  const std::vector<float> all_q =
      RandomFloats(static_cast<int64_t>(problem.positions.size()) * width, problem.seed * 13 + 4);
  std::vector<std::vector<int32_t>> row_tables;
  int32_t max_position = 0;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    row_tables.push_back(cache.TableOf(row));
    max_position = std::max(max_position, problem.positions[row]);
  }
  std::vector<const int32_t*> tables;
  for (const std::vector<int32_t>& table : row_tables) tables.push_back(table.data());
  std::vector<float> out(count * width, kNan);
  const AttentionArgs args = {.q = all_q.data() + rows.begin * width,
                              .ldq = width,
                              .k_cache = cache.k(),
                              .v_cache = cache.v(),
                              .positions = problem.positions.data() + rows.begin,
                              .block_tables = tables.data(),
                              .q_heads = problem.q_heads,
                              .kv_heads = problem.kv_heads,
                              .head_dim = problem.head_dim,
                              .scale = 1.0f / std::sqrt(static_cast<float>(problem.head_dim)),
                              .window = problem.window,
                              .out = out.data(),
                              .ldo = width};
  const size_t floats =
      table.attention_scratch_floats(problem.q_heads, problem.kv_heads, max_position);
  std::vector<Range> ranges = task_ranges;
  if (ranges.empty()) ranges.push_back({0, count * problem.kv_heads});
  for (const Range& range : ranges) {
    std::vector<float> scratch(floats, kNan);
    table.attention(args, range.begin, range.end, scratch.data());
  }
  return out;
}

std::vector<float> RunAttention(const KernelTable& table, const AttentionProblem& problem) {
  return RunAttention(table, problem, {0, static_cast<int64_t>(problem.positions.size())});
}

}  // namespace lamella::kernels::testing
