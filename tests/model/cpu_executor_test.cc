#include "server/model/cpu_executor.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/kernels/fork_join_pool.h"
#include "server/model/kv_cache.h"
#include "tests/model/model_fixture.h"

namespace lamella::testing {
namespace {

using kernels::Isa;
using kernels::WeightType;

CpuExecutorOptions Options() { return TinyOptions(Isa::kReference, WeightType::kF32); }

void ExpectRefused(const CpuExecutorOptions& options, std::string_view field) {
  const absl::Status status = options.Validate();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorField(status), field);
  EXPECT_EQ(ErrorReason(status), reasons::kOutOfRange);
}

TEST(CpuExecutorOptionsTest, ValuesOutOfRangeAreRefusedByName) {
  EXPECT_TRUE(Options().Validate().ok());
  CpuExecutorOptions options = Options();
  options.threads = 0;
  ExpectRefused(options, "threads");
  options = Options();
  options.max_rows = 0;
  ExpectRefused(options, "max_rows");
  options = Options();
  options.max_sequences = options.max_rows + 1;
  ExpectRefused(options, "max_sequences");
  options = Options();
  options.kv_cache_bytes = -1;
  ExpectRefused(options, "kv_cache_bytes");
  options = Options();
  options.max_context_tokens = -1;
  ExpectRefused(options, "max_context_tokens");
}

TEST(CpuExecutorTest, CacheWithoutRoomForABlockIsRefused) {
  const TinySource source(TinyConfig("llama"), 1);
  CpuExecutorOptions options = Options();
  options.kv_cache_bytes = 100;
  const absl::Status status = CpuExecutor::Create(source, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorField(status), "kv_cache_bytes");
}

TEST(CpuExecutorTest, LimitsFollowModelCacheAndOptions) {
  const TinySource source(TinyConfig("llama"), 1);
  CpuExecutorOptions options = Options();
  // One block: 3 layers x (K and V) x 3 heads x 16 x 16 tokens x 4 bytes.
  options.kv_cache_bytes = 3 * 2 * 3 * 16 * 16 * 4 * 5 + 17;
  auto executor = MakeExecutor(source, options);
  EXPECT_EQ(executor->limits().num_blocks, 5);
  EXPECT_EQ(executor->limits().context_tokens, 80);  // what the cache takes
  EXPECT_EQ(executor->limits().vocab_size, 67);
  EXPECT_EQ(executor->kv_cache_bytes(), options.kv_cache_bytes - 17);
  options.kv_cache_bytes = int64_t{4} << 20;
  EXPECT_EQ(MakeExecutor(source, options)->limits().context_tokens, 256);  // the model
  options.max_context_tokens = 50;
  EXPECT_EQ(MakeExecutor(source, options)->limits().context_tokens, 50);
}

TEST(CpuExecutorTest, GreedyTakesTheLargestLogit) {
  const TinySource source(TinyConfig("llama"), 1);
  const auto executor = MakeExecutor(source, Options());
  StepDriver driver(executor.get());
  driver.Add({3, 4, 5});
  const Feed feed{0, 3, true};
  const auto output = driver.Step({&feed, 1});
  ASSERT_TRUE(output.ok());
  ASSERT_EQ((*output)->sampled.size(), 1U);
  const auto logits = driver.logits(0);
  const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
  EXPECT_EQ((*output)->sampled[0].token_id, best);
  EXPECT_TRUE((*output)->sampled[0].finite);
}

TEST(CpuExecutorTest, SeedAndPositionDecideADraw) {
  const TinySource source(TinyConfig("llama"), 1);
  const auto executor = MakeExecutor(source, Options());
  const auto draw = [&](uint64_t seed) {
    StepDriver driver(executor.get());
    driver.Add({3, 4, 5});
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 12; ++i) {
      const SamplingParams sampling{.temperature = 5.0F, .seed = seed};
      const Feed feed{0, driver.pending(0), true, sampling};
      const auto output = driver.Step({&feed, 1});
      tokens.push_back((*output)->sampled[0].token_id);
      driver.Append(0, tokens.back());
    }
    return tokens;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

TEST(CpuExecutorTest, OneNonFiniteRowLeavesItsNeighboursAlone) {
  TinySource source(TinyConfig("llama"), 1);
  // Token 9 embeds as NaN; the head is a matrix of its own, so only rows that saw it are hit.
  ModelConfig config = TinyConfig("linear_rope_untied");
  TinySource poisoned(config, 1);
  poisoned.mutable_values("model.embed_tokens.weight")[9 * 48] =
      std::numeric_limits<float>::quiet_NaN();
  const auto executor = MakeExecutor(poisoned, Options());
  const std::vector<int32_t> good{3, 4, 5};
  const auto alone = LogitsAlone(executor.get(), good, nullptr, 1, 64);

  StepDriver driver(executor.get());
  driver.Add({3, 9, 5});
  driver.Add(good);
  const std::vector<Feed> feeds{{0, 3, true}, {1, 3, true}};
  const auto output = driver.Step(feeds);
  ASSERT_TRUE(output.ok());
  EXPECT_FALSE((*output)->sampled[0].finite);
  EXPECT_TRUE((*output)->sampled[1].finite);
  const auto logits = driver.logits(1);
  EXPECT_EQ(std::vector<float>(logits.begin(), logits.end()), alone.back());
}

TEST(CpuExecutorTest, BlocksOfANonFiniteSequenceCanBeReused) {
  ModelConfig config = TinyConfig("linear_rope_untied");
  TinySource poisoned(config, 1);
  poisoned.mutable_values("model.embed_tokens.weight")[9 * 48] =
      std::numeric_limits<float>::quiet_NaN();
  const auto executor = MakeExecutor(poisoned, Options());
  const std::vector<int32_t> good{3, 4, 5};
  const auto before = LogitsAlone(executor.get(), good, nullptr, 1, 64);
  LogitsAlone(executor.get(), std::vector<int32_t>(15, 9), nullptr, 1, 64);
  // The same blocks again: positions 3 to 14 of them still hold NaN.
  EXPECT_EQ(LogitsAlone(executor.get(), good, nullptr, 1, 64), before);
}

// Finite weights can still overflow. Two rows use such an adapter, in the middle of rows that do
// not, while they prefill and while they decode.
TEST(CpuExecutorTest, AnAdapterThatOverflowsHitsOnlyItsOwnRows) {
  const TinySource source(TinyConfig("llama"), 1);
  for (const Isa isa : AvailableIsas()) {
    const auto executor = MakeExecutor(source, TinyOptions(isa, WeightType::kBF16));
    const BaseSpec& base = executor->base_spec();
    const auto good = PackTinyAdapter(MakeTinyAdapter(base, 2), base, executor->kernel_table());
    TinyAdapter wild = MakeTinyAdapter(base, 3);
    wild.scale = 3e38F;
    for (TinyAdapter::Module& module : wild.modules) {
      for (float& value : module.a) value *= 1e6F;
    }
    const auto bad = PackTinyAdapter(wild, base, executor->kernel_table());
    const std::vector<int32_t> prompt{3, 4, 5, 6, 7};
    const auto base_alone = LogitsAlone(executor.get(), prompt, nullptr, 3, 64);
    const auto good_alone = LogitsAlone(executor.get(), prompt, good.get(), 3, 64);

    StepDriver driver(executor.get());
    driver.Add(prompt);
    driver.Add(prompt, bad.get());
    driver.Add(prompt, good.get());
    driver.Add({9, 9, 9, 9, 9}, bad.get());
    for (size_t step = 0; step < 3; ++step) {
      std::vector<Feed> feeds;
      for (int32_t i = 0; i < 4; ++i) feeds.push_back({i, step == 0 ? 3 : 1, true});
      const auto output = driver.Step(feeds);
      ASSERT_TRUE(output.ok()) << output.status();
      const std::vector<SampledToken>& sampled = (*output)->sampled;
      ASSERT_EQ(sampled.size(), 4U);
      EXPECT_FALSE(sampled[1].finite) << kernels::IsaName(isa);
      EXPECT_FALSE(sampled[3].finite);
      EXPECT_EQ(sampled[1].token_id, -1);
      EXPECT_TRUE(sampled[0].finite);
      EXPECT_TRUE(sampled[2].finite);
      EXPECT_TRUE(std::ranges::equal(driver.logits(0), base_alone[step]));
      EXPECT_TRUE(std::ranges::equal(driver.logits(2), good_alone[step]));
    }
  }
}

TEST(CpuExecutorTest, WaitWithoutLaunchIsAnError) {
  const TinySource source(TinyConfig("llama"), 1);
  const auto executor = MakeExecutor(source, Options());
  StepOutput output;
  EXPECT_EQ(executor->Wait(&output).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(CpuExecutorTest, LogitsComeOnlyWhenWanted) {
  const TinySource source(TinyConfig("llama"), 1);
  const auto executor = MakeExecutor(source, Options());
  const std::vector<int32_t> table{0};
  StepInput input;
  input.token_ids = {3, 4};
  SequenceRows rows;
  const SamplingParams greedy;
  rows.row_count = 2;
  rows.block_table = table;
  rows.sample = true;
  rows.sampling = &greedy;
  rows.tokens = input.token_ids;
  rows.prompt_tokens = 2;
  input.sequences.push_back(rows);
  StepOutput output;
  executor->Launch(input);
  ASSERT_TRUE(executor->Wait(&output).ok());
  EXPECT_EQ(output.sampled.size(), 1U);
  EXPECT_TRUE(output.logits.empty());
}

TEST(CpuExecutorTest, WindowIsALimitOnlyIfEveryLayerHasOne) {
  const TinySource windows(TinyConfig("mistral_window"), 1);
  EXPECT_EQ(MakeExecutor(windows, Options())->limits().attention_window,
            TinyConfig("mistral_window").layers[0].sliding_window);
  const TinySource mixed(TinyConfig("gemma3"), 1);
  EXPECT_EQ(MakeExecutor(mixed, Options())->limits().attention_window, 0);
}

// The same log-probabilities of a prompt whatever its chunks and neighbours, and those that its
// logits say.
TEST(CpuExecutorTest, PromptLogprobsDependOnNoChunkAndNoNeighbour) {
  const TinySource source(TinyConfig("gemma3"), 3);
  for (const Isa isa : AvailableIsas()) {
    const auto executor = MakeExecutor(source, TinyOptions(isa, WeightType::kBF16, 2));
    const std::vector<int32_t> prompt = TinyTokens(source.config(), 13, 5);
    const auto told = [&](int32_t chunk, bool neighbour) {
      StepDriver driver(executor.get());
      driver.Add(prompt);
      driver.Add(TinyTokens(source.config(), 40, 6));
      std::vector<TokenLogprob> result;
      while (driver.pending(0) > 0) {
        const int32_t rows = std::min(chunk, driver.pending(0));
        const bool last = rows == driver.pending(0);
        std::vector<Feed> feeds{
            {.sequence = 0, .tokens = rows, .sample = last, .logprobs = 3, .prompt_logprobs = 2}};
        if (neighbour) {
          feeds.insert(feeds.begin(), {.sequence = 1, .tokens = 2, .sample = true, .logprobs = 1});
        }
        const auto output = driver.Step(feeds);
        EXPECT_TRUE(output.ok()) << output.status();
        for (const LogprobRow& row : (*output)->logprobs) {
          if (row.sequence_index != (neighbour ? 1 : 0)) continue;
          result.push_back(row.token);
          result.insert(result.end(), (*output)->top_logprobs.begin() + row.top_begin,
                        (*output)->top_logprobs.begin() + row.top_end);
        }
      }
      return result;
    };
    const std::vector<TokenLogprob> whole = told(13, false);
    EXPECT_EQ(whole.size(), 12U * 3U + 4U);
    for (const int32_t chunk : {1, 4, 5, 13}) {
      EXPECT_EQ(told(chunk, false), whole) << kernels::IsaName(isa) << " chunk " << chunk;
      EXPECT_EQ(told(chunk, true), whole) << kernels::IsaName(isa) << " chunk " << chunk;
    }
  }
}

TEST(CpuExecutorTest, AStepThatAsksForTooManyLogitsIsRefused) {
  const TinySource source(TinyConfig("llama"), 1);
  const auto executor = MakeExecutor(source, Options());
  StepDriver driver(executor.get());
  const int32_t limit = executor->limits().max_logit_rows;
  driver.Add(std::vector<int32_t>(static_cast<size_t>(limit) + 2, 3));
  const Feed feed{.sequence = 0, .tokens = limit + 2, .prompt_logprobs = 0};
  EXPECT_EQ(driver.Step({&feed, 1}).status().code(), absl::StatusCode::kInternal);
}

TEST(KvCacheTest, IsResidentFromTheStart) {
  kernels::ForkJoinPool pool(2);
  const ModelConfig config = TinyConfig("llama");
  const kernels::KernelTable& table = *kernels::GetKernelTable(Isa::kReference, WeightType::kF32);
  constexpr int64_t kBytes = int64_t{9} << 20;
  const absl::StatusOr<KvCache> created = KvCache::Create(config, table, kBytes, &pool);
  ASSERT_TRUE(created.ok()) << created.status();
  const KvCache& cache = *created;
  const int64_t bytes = cache.num_blocks() * KvCache::BlockBytes(config, table);
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(cache.keys(0)) / page * page;
  std::vector<unsigned char> resident(static_cast<size_t>(bytes) / page);
  ASSERT_EQ(mincore(reinterpret_cast<void*>(begin), resident.size() * page, resident.data()), 0);
  EXPECT_EQ(std::count_if(resident.begin(), resident.end(), [](auto b) { return (b & 1) == 0; }),
            0);
}

}  // namespace
}  // namespace lamella::testing
