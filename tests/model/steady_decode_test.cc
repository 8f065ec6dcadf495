// Steady decode touches no heap: a binary of its own, since it counts every allocation of the
// process.
#include <gtest/gtest.h>

#include "tests/model/model_fixture.h"
#include "tests/testing/heap_allocations.h"

namespace lamella::testing {
namespace {

constexpr int32_t kBlocks = 8;  // of each sequence
constexpr int32_t kWarmSteps = 2;

// One base row and one with an adapter, drawn with a temperature; penalties, bias and bans as well,
// since they are anyone's to ask for.
class SteadyDecode {
 public:
  explicit SteadyDecode(const AdapterWeights* adapter) : adapter_(adapter) {
    for (int32_t i = 0; i < 2 * kBlocks; ++i) blocks_.push_back(i);
  }

  void Build(int32_t position) {
    input_.Clear();
    for (int32_t i = 0; i < 2; ++i) {
      input_.token_ids.push_back(3 + i);
      SequenceRows rows;
      rows.row_begin = i;
      rows.row_count = 1;
      rows.first_position = position;
      rows.block_table = std::span(blocks_).subspan(static_cast<size_t>(i * kBlocks), kBlocks);
      rows.sample = true;
      rows.sampling = &sampling_;
      rows.tokens = tokens_;
      rows.prompt_tokens = 1;
      rows.banned_token_ids = banned_;
      input_.sequences.push_back(rows);
    }
    input_.segments.push_back({1, 2, adapter_});
  }

  // Allocations of one step.
  int64_t Run(ModelExecutor* executor) {
    const int64_t before = HeapAllocations();
    executor->Launch(input_);
    EXPECT_TRUE(executor->Wait(&output_).ok());
    return HeapAllocations() - before;
  }

 private:
  const AdapterWeights* adapter_;
  const SamplingParams sampling_{.repetition_penalty = 1.1F,
                                 .presence_penalty = 0.5F,
                                 .logit_bias = {{3, -1.0F}},
                                 .temperature = 1.0F,
                                 .top_k = 5,
                                 .top_p = 0.9F,
                                 .min_p = 0.01F,
                                 .seed = 1};
  const std::vector<int32_t> banned_ = {7};
  const std::vector<int32_t> tokens_ = std::vector<int32_t>(kBlocks * kernels::kBlockTokens + 1, 3);
  std::vector<int32_t> blocks_;
  StepInput input_;
  StepOutput output_;
};

TEST(SteadyDecodeTest, AllocatesNothing) {
  const TinySource source(TinyConfig("gemma3"), 2);
  const auto executor =
      MakeExecutor(source, TinyOptions(kernels::BestIsa(), kernels::WeightType::kBF16, 3));
  const auto adapter = PackTinyAdapter(MakeTinyAdapter(executor->base_spec(), 1),
                                       executor->base_spec(), executor->kernel_table());
  SteadyDecode decode(adapter.get());
  int64_t first = 0;
  for (int32_t step = 0; step < kBlocks * kernels::kBlockTokens; ++step) {
    decode.Build(step);
    const int64_t count = decode.Run(executor.get());
    if (step == 0) first = count;
    if (step >= kWarmSteps) {
      EXPECT_EQ(count, 0) << "step " << step;
    }
  }
  EXPECT_GT(first, 0);  // the counter counts: buffers grow in the first step
}

}  // namespace
}  // namespace lamella::testing
