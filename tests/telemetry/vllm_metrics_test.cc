#include "server/telemetry/vllm_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/telemetry/metrics_registry.h"

namespace lamella {
namespace {

using testing::HasSubstr;
using testing::Not;

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(VllmMetricsTest, CountsAreThoseOfOurOwnNames) {
  MetricsRegistry registry({.model_name = "tiny"});
  const Metrics& m = *registry.metrics();
  m.running_sequences.Set(3);
  m.waiting_sequences.Set(4);
  m.kv_blocks_total.Set(1048576);
  m.kv_blocks_used.Set(262144);
  m.kv_block_tokens.Set(16);
  m.prompt_tokens.Increment(50);
  m.cached_tokens.Increment(20);
  m.requests_finished.WithReason("stop_token").Increment(2);
  m.requests_finished.WithReason("stop_string").Increment();
  m.requests_finished.WithReason("cancelled").Increment();
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("vllm:num_requests_running{model_name=\"tiny\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("vllm:num_requests_waiting{model_name=\"tiny\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("vllm:kv_cache_usage_perc{model_name=\"tiny\"} 0.25\n"));
  EXPECT_THAT(text, HasSubstr("block_size=\"16\",num_gpu_blocks=\"1048576\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vllm:prompt_tokens_total{model_name=\"tiny\"} 50\n"));
  EXPECT_THAT(text, HasSubstr("vllm:prefix_cache_hits_total{model_name=\"tiny\"} 20\n"));
  EXPECT_THAT(text, HasSubstr("finished_reason=\"stop\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("finished_reason=\"abort\"} 1\n"));
}

TEST(VllmMetricsTest, HistogramsAreKeptInBothSetsOfBuckets) {
  MetricsRegistry registry({.model_name = "tiny"});
  const Metrics copy = *registry.metrics();  // as rooms keep it
  copy.first_token_seconds.Observe(0.03);
  copy.inter_token_seconds.Observe(0.03);
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("lamella_first_token_seconds_bucket{le=\"0.05\"} 1\n"));
  EXPECT_THAT(
      text,
      HasSubstr("vllm:time_to_first_token_seconds_bucket{model_name=\"tiny\",le=\"0.04\"} 1"));
  EXPECT_THAT(text, HasSubstr("vllm:inter_token_latency_seconds_count{model_name=\"tiny\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vllm:time_per_output_token_seconds_count{model_name=\"tiny\"} 1\n"));
}

TEST(VllmMetricsTest, OnlyTheNewestSetOfAdaptersIsSeen) {
  MetricsRegistry registry({.most_adapters = 2, .model_name = "tiny"});
  const AdaptersAtWorkGauge& gauge = registry.metrics()->adapters_at_work;
  const absl::Time start = absl::FromUnixSeconds(1'000'000);
  gauge.Set({.most = 8, .running = {"a", "b", "c"}, .waiting = {"d"}, .at = start});
  EXPECT_THAT(registry.Text(),
              HasSubstr("vllm:lora_requests_info{model_name=\"tiny\",max_lora=\"8\",running_lora_"
                        "adapters=\"a,b\",waiting_lora_adapters=\"d\"} 1000000\n"));
  gauge.Set({.most = 8, .running = {}, .waiting = {}, .at = start + absl::Seconds(5)});
  const std::string text = registry.Text();
  EXPECT_EQ(Count(text, "vllm:lora_requests_info{"), 1U);
  EXPECT_THAT(text, HasSubstr("running_lora_adapters=\"\",waiting_lora_adapters=\"\"} 1000005\n"));
}

TEST(VllmMetricsTest, CanBeLeftOut) {
  MetricsRegistry registry({.vllm_names = false});
  registry.metrics()->first_token_seconds.Observe(1);
  EXPECT_FALSE(registry.metrics()->adapters_at_work.wanted());
  EXPECT_THAT(registry.Text(), Not(HasSubstr("vllm:")));
}

}  // namespace
}  // namespace lamella
