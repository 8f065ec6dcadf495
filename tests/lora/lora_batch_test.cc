#include "server/lora/lora_batch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "server/kernels/fork_join_pool.h"
#include "tests/lora/lora_fixtures.h"

namespace lamella {
namespace {

constexpr int64_t kHidden = 48;
constexpr int64_t kKv = 16;
constexpr int64_t kInner = 80;

const BaseSpec& Base() {
  static const BaseSpec base = SmallBase(2, kHidden, kKv, kInner);
  return base;
}

// The deltas of one linear through the kernels, over a base of zeros: float [rows][out].
std::vector<float> Expand(const kernels::KernelTable& kernels, const LoraBatch& batch,
                          const BaseModule& module, const float* x, int64_t rows) {
  const int64_t n = module.out_features;
  const int64_t k = module.in_features;
  std::vector<char> packed_w(kernels.packed_linear_bytes(n, k), 0);
  std::vector<char> packed_x(kernels.packed_rows_bytes(rows, k));
  kernels.pack_rows(x, k, rows, k, 0, (rows + kernels.row_tile - 1) / kernels.row_tile,
                    packed_x.data());
  std::vector<float> y(static_cast<size_t>(rows * n));
  const auto terms = batch.Terms(module.kind);
  kernels::LinearArgs args;
  args.packed_x = packed_x.data();
  args.rows = rows;
  args.packed_w = packed_w.data();
  args.n = n;
  args.k = k;
  args.lora = terms.data();
  args.lora_count = static_cast<int32_t>(terms.size());
  args.y = y.data();
  args.ldy = n;
  kernels.linear(args, 0, (n + kernels::kColumnTile - 1) / kernels::kColumnTile);
  return y;
}

class LoraBatchTest : public ::testing::Test {
 protected:
  RandomAdapter full_{
      Base(),
      {ShapeOf(Base(), 1, ModuleKind::kQ, 5, 2.0F), ShapeOf(Base(), 1, ModuleKind::kK, 3, 0.5F),
       ShapeOf(Base(), 1, ModuleKind::kV, 17, 1.5F), ShapeOf(Base(), 1, ModuleKind::kO, 2),
       ShapeOf(Base(), 1, ModuleKind::kGate, 8), ShapeOf(Base(), 1, ModuleKind::kUp, 1),
       ShapeOf(Base(), 1, ModuleKind::kDown, 4, 3.0F)},
      1};
  RandomAdapter only_v_{Base(), {ShapeOf(Base(), 1, ModuleKind::kV, 4)}, 2};
  LoraBatch batch_{Base(), ReferenceKernels()};
};

// Packed A and B, the tasks and the terms together reproduce scale B A x.
TEST_F(LoraBatchTest, RowsGetTheirAdapterAndNoOther) {
  constexpr int64_t kRows = 75;
  const std::vector<LoraSegment> segments = {
      {0, 40, full_.weights.get()}, {41, 43, only_v_.weights.get()}, {43, 74, full_.weights.get()}};
  const RandomAdapter* owner[kRows] = {};
  for (int row = 0; row < 74; ++row) owner[row] = row < 41 || row > 42 ? &full_ : &only_v_;
  owner[40] = nullptr;

  batch_.Begin(segments);
  const struct {
    LoraInput input;
    std::vector<ModuleKind> kinds;
  } groups[] = {{LoraInput::kAttention, {ModuleKind::kQ, ModuleKind::kK, ModuleKind::kV}},
                {LoraInput::kAttentionOutput, {ModuleKind::kO}},
                {LoraInput::kMlp, {ModuleKind::kGate, ModuleKind::kUp}},
                {LoraInput::kMlpProduct, {ModuleKind::kDown}}};
  for (const auto& group : groups) {
    const int64_t width = Base().module(1, group.kinds[0]).in_features;
    const auto x = RandomFloats(static_cast<size_t>(kRows * width), 9);
    batch_.Prepare(1, group.input, x.data(), width);
    batch_.RunTasks(0, batch_.task_count());
    for (const ModuleKind kind : group.kinds) {
      const BaseModule& module = Base().module(1, kind);
      const auto y = Expand(ReferenceKernels(), batch_, module, x.data(), kRows);
      for (int64_t row = 0; row < kRows; ++row) {
        std::vector<double> want;
        if (owner[row] != nullptr) want = owner[row]->Delta(1, kind, x.data() + row * width);
        want.resize(static_cast<size_t>(module.out_features), 0.0);
        for (size_t n = 0; n < want.size(); ++n) {
          const float got = y[static_cast<size_t>(row) * want.size() + n];
          ASSERT_NEAR(got, want[n], 1e-5 * (1.0 + std::abs(want[n])))
              << module.path << " row " << row << " column " << n;
        }
      }
    }
  }
}

TEST_F(LoraBatchTest, ModulesThatAnAdapterLacksHaveNoTerm) {
  const std::vector<LoraSegment> segments = {{0, 2, only_v_.weights.get()},
                                             {2, 3, full_.weights.get()}};
  const auto x = RandomFloats(3 * kHidden, 1);
  batch_.Begin(segments);
  batch_.Prepare(1, LoraInput::kAttention, x.data(), kHidden);
  EXPECT_EQ(batch_.Terms(ModuleKind::kQ).size(), 1U);
  EXPECT_EQ(batch_.Terms(ModuleKind::kQ)[0].row_begin, 2);
  EXPECT_EQ(batch_.Terms(ModuleKind::kV).size(), 2U);
  EXPECT_EQ(batch_.Terms(ModuleKind::kO).size(), 0U);
  batch_.Prepare(0, LoraInput::kAttention, x.data(), kHidden);
  EXPECT_EQ(batch_.Terms(ModuleKind::kV).size(), 0U) << "neither changes layer 0";
  EXPECT_EQ(batch_.task_count(), 0);
}

TEST_F(LoraBatchTest, TasksAreBlocksOfRowsAndRanks) {
  const std::vector<LoraSegment> segments = {{0, 33, full_.weights.get()}};
  const auto x = RandomFloats(33 * kHidden, 1);
  batch_.Begin(segments);
  batch_.Prepare(1, LoraInput::kAttention, x.data(), kHidden);
  // Five blocks of rows, each with ranks 5, 3 and 17 in blocks of four.
  EXPECT_EQ(batch_.task_count(), 5 * (2 + 1 + 5));
}

// However threads cut the tasks, whoever stands beside: the same bits.
TEST_F(LoraBatchTest, NeighboursAndThreadsDoNotMatter) {
  constexpr int64_t kRows = 40;
  const auto x = RandomFloats(static_cast<size_t>(kRows * kHidden), 4);
  const auto shrunk = [&](const std::vector<LoraSegment>& segments, int32_t threads) {
    LoraBatch batch(Base(), ReferenceKernels());
    batch.Begin(segments);
    batch.Prepare(1, LoraInput::kAttention, x.data(), kHidden);
    kernels::ForkJoinPool pool(threads);
    pool.Run(batch.task_count(), 1,
             [&](int64_t begin, int64_t end, int32_t) { batch.RunTasks(begin, end); });
    const auto terms = batch.Terms(ModuleKind::kV);
    std::vector<float> v;
    for (int32_t row = 10; row < 12; ++row) {
      for (int32_t r = 0; r < 17; ++r) v.push_back(terms.back().v[row * terms.back().ldv + r]);
    }
    return v;
  };
  const auto alone = shrunk({{10, 12, full_.weights.get()}}, 1);
  EXPECT_EQ(alone, shrunk({{0, 40, full_.weights.get()}}, 1));
  EXPECT_EQ(alone, shrunk({{0, 10, only_v_.weights.get()}, {10, 12, full_.weights.get()}}, 3));
}

std::atomic<int> shrink_calls = 0;
void CountShrink(const kernels::ShrinkArgs& args, int32_t rank_begin, int32_t rank_end) {
  ++shrink_calls;
  ReferenceKernels().lora_shrink(args, rank_begin, rank_end);
}

// Law 7.
TEST_F(LoraBatchTest, BaseTrafficPaysNothing) {
  kernels::KernelTable counting = ReferenceKernels();
  counting.lora_shrink = CountShrink;
  LoraBatch batch(Base(), counting);
  const auto x = RandomFloats(2 * kHidden, 1);
  const std::vector<LoraSegment> segments = {{0, 1, only_v_.weights.get()}};
  const auto run = [&](std::span<const LoraSegment> rows) {
    shrink_calls = 0;
    batch.Begin(rows);
    batch.Prepare(1, LoraInput::kAttention, x.data(), kHidden);
    batch.RunTasks(0, batch.task_count());
    return shrink_calls.load();
  };
  EXPECT_EQ(run(segments), 1);
  EXPECT_FALSE(batch.empty());
  EXPECT_EQ(run({}), 0);
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(batch.task_count(), 0);
  EXPECT_EQ(batch.Terms(ModuleKind::kV).size(), 0U) << "nothing is left of the step before";
}

TEST_F(LoraBatchTest, SteadyStateKeepsItsStorage) {
  const std::vector<LoraSegment> segments = {{0, 3, full_.weights.get()},
                                             {3, 4, only_v_.weights.get()}};
  const auto x = RandomFloats(4 * kHidden, 1);
  const auto step = [&] {
    batch_.Begin(segments);
    batch_.Prepare(1, LoraInput::kAttention, x.data(), kHidden);
    return std::pair(batch_.Terms(ModuleKind::kV).data(), batch_.Terms(ModuleKind::kV)[0].v);
  };
  const auto first = step();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(step(), first);
}

}  // namespace
}  // namespace lamella
