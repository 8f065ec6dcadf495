// What the metrics and the recorder say of requests that went through an engine.
#include "server/engine/loop_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/telemetry/metrics_registry.h"
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

using testing::HasSubstr;

class KeptRecords final : public RequestRecorder {
 public:
  void Record(const RequestRecord& record) override { all.push_back(record); }
  std::vector<RequestRecord> all;
};

class LoopMetricsTest : public testing::Test {
 protected:
  LoopMetricsTest() {
    EngineOptions options;
    options.start_thread = false;
    options.step_tokens = 16;
    options.prefill_chunk_tokens = 8;
    options.max_running = 8;
    EngineDeps deps;
    deps.executor = &executor_;
    deps.tokenizer = &tokenizer_;
    deps.catalogue = &catalogue_;
    deps.residency = &residency_;
    deps.clock = &clock_;
    deps.metrics = registry_.metrics();
    deps.recorder = &records_;
    catalogue_.SetLive("anna", "poet", "1");
    catalogue_.SetLive("ben", "poet", "2");
    catalogue_.SetLive("anna", "slow", "3");
    engine_ = *Engine::Create(options, deps);
  }
  ~LoopMetricsTest() override { engine_->Stop(); }

  StreamReader Submit(const std::string& tenant, const std::string& adapter, int32_t max_tokens) {
    Request request = MakeRequest("abcd", max_tokens, adapter);
    request.tenant = tenant;
    request.trace.trace_id = "trace of " + tenant;
    auto reader = engine_->Submit(std::move(request));
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }
  void RunUntilIdle() {
    while (engine_->Step()) clock_.Advance(absl::Milliseconds(10));
  }
  testing::AssertionResult Exports(const std::string& line) {
    const std::string text = registry_.Text();
    if (text.find(line + "\n") != std::string::npos) return testing::AssertionSuccess();
    return testing::AssertionFailure() << line << " is not in\n" << text;
  }

  FakeClock clock_;
  FakeTokenizer tokenizer_;
  FakeCatalogue catalogue_;
  FakeResidency residency_;
  PuppetExecutor executor_{PuppetExecutor::SmallLimits()};
  MetricsRegistry registry_{MetricsOptions{.model_name = "m"}};
  KeptRecords records_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(LoopMetricsTest, TenantsAndAdaptersAreCountedApart) {
  const auto a = Submit("anna", "poet", 3);
  const auto b = Submit("ben", "poet", 2);
  const auto c = Submit("ben", "", 1);
  RunUntilIdle();
  EXPECT_TRUE(Exports("lamella_tenant_requests_total{tenant=\"anna\"} 1"));
  EXPECT_TRUE(Exports("lamella_tenant_requests_total{tenant=\"ben\"} 2"));
  EXPECT_TRUE(Exports("lamella_tenant_prompt_tokens_total{tenant=\"ben\"} 8"));
  EXPECT_TRUE(Exports("lamella_tenant_generated_tokens_total{tenant=\"anna\"} 3"));
  EXPECT_TRUE(Exports("lamella_tenant_generated_tokens_total{tenant=\"ben\"} 3"));
  EXPECT_TRUE(
      Exports("lamella_tenant_adapter_generated_tokens_total{tenant=\"ben\",adapter=\"poet\"} 2"));
  EXPECT_TRUE(Exports("lamella_tenant_adapter_requests_total{tenant=\"anna\",adapter=\"poet\"} 1"));
}

TEST_F(LoopMetricsTest, ServiceIsWhatFairSharesChargedByTheirCosts) {
  const auto reader = Submit("anna", "", 3);
  RunUntilIdle();
  // Four prompt tokens, and twice for each of three generated ones.
  EXPECT_TRUE(Exports("lamella_tenant_service_tokens_total{tenant=\"anna\"} 10"));
}

TEST_F(LoopMetricsTest, TokensOfALongAnswerAreCountedWhileItRuns) {
  const auto reader = Submit("anna", "", 40);
  for (int i = 0; i < 20; ++i) {
    engine_->Step();
    clock_.Advance(absl::Milliseconds(100));
  }
  const double so_far =
      registry_.metrics()->by_tenant.Of("anna")[static_cast<int>(TenantCount::kGeneratedTokens)];
  EXPECT_GT(so_far, 10);
  EXPECT_LT(so_far, 40);
}

TEST_F(LoopMetricsTest, AdaptersAtWorkAreThoseOfNowAndNoneWhenIdle) {
  EXPECT_FALSE(engine_->Step());
  EXPECT_TRUE(
      Exports("vllm:lora_requests_info{model_name=\"m\",max_lora=\"8\",running_lora_"
              "adapters=\"\",waiting_lora_adapters=\"\"} 1700000000"));
  residency_.HoldLoads(true);
  const auto waits = Submit("anna", "slow", 2);
  clock_.Advance(absl::Seconds(1));
  engine_->Step();
  EXPECT_THAT(registry_.Text(),
              HasSubstr("running_lora_adapters=\"\",waiting_lora_adapters=\"slow"));
  residency_.FinishLoads();
  clock_.Advance(absl::Seconds(1));
  engine_->Step();
  EXPECT_THAT(registry_.Text(),
              HasSubstr("running_lora_adapters=\"slow\",waiting_lora_adapters=\"\""));
  RunUntilIdle();
  EXPECT_THAT(registry_.Text(), HasSubstr("running_lora_adapters=\"\",waiting_lora_adapters=\"\""));
}

TEST_F(LoopMetricsTest, EveryEndIsRecordedOnceWithItsStages) {
  auto whole = Submit("anna", "poet", 3);
  RunUntilIdle();
  auto cancelled = Submit("ben", "", 40);
  engine_->Step();
  cancelled.Cancel();
  RunUntilIdle();
  ASSERT_EQ(records_.all.size(), 2U);
  const RequestRecord& first = records_.all[0];
  EXPECT_EQ(first.tenant, "anna");
  EXPECT_EQ(first.adapter, "poet");
  EXPECT_EQ(first.version.size(), 64U);
  EXPECT_EQ(first.reason, "length");
  EXPECT_TRUE(first.accepted && first.complete);
  EXPECT_EQ(first.prompt_tokens, 4);
  EXPECT_EQ(first.generated_tokens, 3);
  EXPECT_EQ(first.trace.trace_id, "trace of anna");
  EXPECT_LE(first.begin, *first.scheduled);
  EXPECT_LE(*first.scheduled, *first.first_token);
  EXPECT_LT(*first.first_token, *first.last_token);
  const RequestRecord& second = records_.all[1];
  EXPECT_EQ(second.reason, "cancelled");
  EXPECT_FALSE(second.complete);
  EXPECT_TRUE(Exports("lamella_request_seconds_count 1"));
  EXPECT_TRUE(Exports("lamella_requests_finished_total{reason=\"cancelled\"} 1"));
}

}  // namespace
}  // namespace lamella
