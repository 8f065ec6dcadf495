// Tenants beside each other in one engine: who gets in, and what it costs the others.
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

class FairnessTest : public EngineFixture {
 protected:
  FairnessTest() { options_.max_running = 2; }

  static Request Of(const std::string& tenant, std::string prompt, int32_t max_tokens,
                    std::string adapter = "") {
    Request request = MakeRequest(std::move(prompt), max_tokens, std::move(adapter));
    request.tenant = tenant;
    return request;
  }
  void ExpectAlone(Recorded* recorded, const std::string& prompt, int32_t count) {
    recorded->Read();
    ASSERT_TRUE(recorded->finished.has_value()) << recorded->error;
    EXPECT_EQ(recorded->token_ids, PuppetExecutor::Alone({}, Bytes(prompt), count));
  }
};

TEST_F(FairnessTest, ALightTenantNeedNotWaitForAHeavyOnesAnswers) {
  Recorded first = Submit(Of("heavy", "aaaa", 60));
  Recorded second = Submit(Of("heavy", "bbbb", 60));
  Recorded third = Submit(Of("heavy", "cccc", 60));
  for (int i = 0; i < 5; ++i) Step();
  Recorded light = Submit(Of("light", "dddd", 3));
  // It comes with what the least served tenant has, so one step goes by before it has had less.
  for (int i = 0; i < 1 + 3; ++i) Step();
  ExpectAlone(&light, "dddd", 3);
  // Whoever was sent back for it lost nothing but time.
  ASSERT_TRUE(RunUntilIdle());
  ExpectAlone(&first, "aaaa", 60);
  ExpectAlone(&second, "bbbb", 60);
  ExpectAlone(&third, "cccc", 60);
}

TEST_F(FairnessTest, InOrderOfArrivalItWaits) {
  options_.policy = EngineOptions::Policy::kFcfs;
  Recorded first = Submit(Of("heavy", "aaaa", 60));
  Recorded second = Submit(Of("heavy", "bbbb", 60));
  for (int i = 0; i < 5; ++i) Step();
  Recorded light = Submit(Of("light", "dddd", 3));
  for (int i = 0; i < 3; ++i) Step();
  light.Read();
  EXPECT_FALSE(light.started.has_value());
  ASSERT_TRUE(RunUntilIdle());
  ExpectAlone(&light, "dddd", 3);
}

TEST_F(FairnessTest, WhoseAdapterIsGoneSendsNobodyBack) {
  const AdapterRef adapter = catalogue_.SetLive("light", "b", "2");
  int32_t resumed = 0;
  executor_.OnLaunch([&](const StepInput& input) {
    for (const SequenceRows& rows : input.sequences) {
      resumed += rows.sample_position > 0 && rows.row_count > 1 ? 1 : 0;
    }
  });
  Recorded first = Submit(Of("heavy", "aaaa", 60));
  Recorded second = Submit(Of("heavy", "bbbb", 60));
  for (int i = 0; i < 5; ++i) Step();
  // Its load has settled, but the version was evicted before the next step, and loads hang.
  Recorded light = Submit(Of("light", "dddd", 3, "b"));
  ASSERT_TRUE(residency_.Evict(adapter));
  residency_.HoldLoads(true);
  for (int i = 0; i < 10; ++i) Step();
  EXPECT_EQ(resumed, 0);
  ASSERT_TRUE(RunUntilIdle());
  ExpectAlone(&first, "aaaa", 60);
  ExpectAlone(&second, "bbbb", 60);
}

TEST_F(FairnessTest, InsideATenantTheHigherClassGoesFirst) {
  options_.max_running = 1;
  Recorded running = Submit(Of("t", "aaaa", 4));
  Step();
  Request later = Of("t", "bbbb", 4);
  Recorded low = Submit(later);
  later.priority = Priority::kHigh;
  Recorded high = Submit(later);
  while (!high.started.has_value()) {
    ASSERT_TRUE(Step());
    high.Read();
    low.Read();
    EXPECT_FALSE(low.started.has_value());
  }
  ASSERT_TRUE(RunUntilIdle());
}

}  // namespace
}  // namespace lamella
