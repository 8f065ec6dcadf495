// Shared by the kernel tests: every table that this machine has, random inputs, and problems that a
// table can run whole or in any pieces.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "server/kernels/kernel_table.h"

namespace lamella::kernels::testing {

// Which table a case runs on.
struct TableId {
  std::string name;
  const KernelTable* table;

  // The oracle: the reference table of the same serving dtype and quantization.
  const KernelTable& oracle() const {
    return *GetKernelTable(Isa::kReference, table->weight_type, table->quantization,
                           table->kv_type);
  }
};

// Every ISA of this machine in both serving dtypes, on a base as it is and on quantized ones, and the
// portable twins of the ISA that it may lack.
std::vector<TableId> AvailableTables();
// Of these the ones whose base is quantized, or is not.
std::vector<TableId> TablesByQuantized(bool quantized);
std::string TableName(const ::testing::TestParamInfo<TableId>& info);

// How far one activation of at most 1 may be from what a table's linear layers multiply with: half a
// unit in the last place of one bfloat16 (8 bits of mantissa), or of the sum of two; or half of a 15-bit
// step, relative to the largest of its row.
float ActivationError(const TableId& id);

// A suite that runs on every table of this machine.
class TableTest : public ::testing::TestWithParam<TableId> {
 protected:
  const KernelTable& table() const { return *GetParam().table; }
  const KernelTable& oracle() const { return GetParam().oracle(); }
};

#define LAMELLA_INSTANTIATE_TABLES(suite)                                                     \
  INSTANTIATE_TEST_SUITE_P(Tables, suite,                                                     \
                           ::testing::ValuesIn(lamella::kernels::testing::AvailableTables()), \
                           lamella::kernels::testing::TableName)

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Uniform in [-1, 1].
std::vector<float> RandomFloats(int64_t count, uint32_t seed);

// `bytes` of memory, every float or bfloat16 of which is NaN.
std::vector<std::byte> NanBytes(size_t bytes);

// The same bits, element by element (so NaN equals itself and 0 is not -0).
::testing::AssertionResult SameBits(const std::vector<float>& a, const std::vector<float>& b);

// |a - b| <= tolerance * scale for every element, and both finite.
::testing::AssertionResult Near(const std::vector<float>& a, const std::vector<float>& b,
                                float tolerance);

// Half-open range.
struct Range {
  int64_t begin;
  int64_t end;
};

// [0, count) cut at random places into ranges of multiples of `grain` (but for the last).
std::vector<Range> RandomCuts(int64_t count, int64_t grain, std::mt19937& random);

// One adapter on rows [row_begin, row_end) of a linear layer.
struct SegmentSpec {
  int32_t row_begin;
  int32_t row_end;
  int32_t rank;
  uint32_t seed;  // of A and B
};

// y = x W^T + bias, then low-rank terms: inputs as plain floats.
struct LinearProblem {
  int64_t rows = 1;
  int64_t n = 16;
  int64_t k = 16;
  bool with_bias = false;
  std::vector<SegmentSpec> segments = {};
  uint32_t seed = 1;
  float x_scale = 1;

  std::vector<float> X() const;     // [rows][k]
  std::vector<float> W() const;     // [n][k]
  std::vector<float> Bias() const;  // [n]
};

// Runs the problem on `table`: shrink, then linear over `tile_ranges` (all tiles if empty). Only
// rows [rows.begin, rows.end) of the problem are in the call. Returns [call rows][n]; what lies
// beyond n in each row of y is checked to be untouched.
std::vector<float> RunLinear(const KernelTable& table, const LinearProblem& problem, Range rows,
                             const std::vector<Range>& tile_ranges = {});
std::vector<float> RunLinear(const KernelTable& table, const LinearProblem& problem);

// y = x w + bias + v b / 4 with one output, two inputs and an adapter of rank 1, on `table`.
struct OneOutput {
  float w[2];
  float x[2];
  float bias;
  float b;
  float v;
};
float RunOneOutput(const KernelTable& table, const OneOutput& problem);

// Inputs of shrink: v = x A^T over rows [row_begin, row_end) of x.
std::vector<float> RunShrink(const KernelTable& table, const std::vector<float>& x, int64_t k,
                             Range rows, const std::vector<float>& a, int32_t rank,
                             const std::vector<Range>& rank_ranges = {});

// Sequences in a paged cache whose every unused slot is NaN. Row r is at positions[r] of sequence
// sequence_of[r]; the keys and values of all positions up to it come from a fixed random function
// of (sequence, position).
struct AttentionProblem {
  int32_t q_heads = 2;
  int32_t kv_heads = 1;
  int32_t head_dim = 16;
  int32_t window = 0;
  std::vector<int32_t> sequence_of = {};
  std::vector<int32_t> positions = {};
  uint32_t seed = 1;
  // Each row has a table of its own, whose entries of blocks wholly before the row's window name no
  // block.
  bool forget_before_window = false;
};

// Returns [rows of the call][q_heads * head_dim]. Rows [rows.begin, rows.end) of the problem are in
// the call; tasks run in `task_ranges` (all at once if empty).
std::vector<float> RunAttention(const KernelTable& table, const AttentionProblem& problem,
                                Range rows, const std::vector<Range>& task_ranges = {});
std::vector<float> RunAttention(const KernelTable& table, const AttentionProblem& problem);

}  // namespace lamella::kernels::testing
