// Waiting for an adapter: one load, no pins meanwhile, an end in any case.
#include "server/engine/adapter_gate.h"

#include "common/base/error.h"
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

using AdapterGateTest = EngineFixture;

TEST_F(AdapterGateTest, WhoWaitsForALoadHoldsNobodyUp) {
  residency_.HoldLoads(true);
  const AdapterRef ref = catalogue_.SetLive("t", "a", "1");
  Recorded waiting = Submit(MakeRequest("hello", 5, "a"));
  Recorded base = Submit(MakeRequest("hello", 5));
  ASSERT_TRUE(RunUntilIdle());
  base.Read();
  EXPECT_EQ(base.reason(), FinishReason::kLength);
  EXPECT_EQ(residency_.pins(), 0);
  residency_.FinishLoads();
  ASSERT_TRUE(RunUntilIdle());
  waiting.Read();
  EXPECT_EQ(waiting.token_ids, PuppetExecutor::Alone(ref, Bytes("hello"), 5));
}

TEST_F(AdapterGateTest, EachRequestAsksForItsLoadOnce) {
  residency_.HoldLoads(true);
  catalogue_.SetLive("t", "a", "1");
  Recorded waiting = Submit(MakeRequest("hello", 5, "a"));
  for (int i = 0; i < 10; ++i) Step();
  EXPECT_EQ(residency_.requests(), 1);
}

// No step runs between Submit and the load: while the loop is busy, the loader is too.
TEST_F(AdapterGateTest, TheLoadStartsWhenTheRequestIsAdmitted) {
  residency_.HoldLoads(true);
  const AdapterRef ref = catalogue_.SetLive("t", "a", "1");
  Recorded waiting = Submit(MakeRequest("hello", 5, "a"));
  EXPECT_EQ(residency_.Loading(), std::vector<AdapterRef>{ref});
  residency_.FinishLoads();
  EXPECT_TRUE(Step()) << "resident before the loop ever saw the request";
  waiting.Read();
  EXPECT_EQ(waiting.token_ids.size(), 1U);
}

TEST_F(AdapterGateTest, ARefusedRequestLoadsNothing) {
  residency_.HoldLoads(true);
  catalogue_.SetLive("t", "a", "1");
  EXPECT_FALSE(Refusal(MakeRequest("", 5, "a")).ok());
  EXPECT_EQ(residency_.requests(), 0);
}

TEST_F(AdapterGateTest, AFailedLoadEndsItsWaitersWithItsStatus) {
  residency_.HoldLoads(true);
  const AdapterRef ref = catalogue_.SetLive("t", "a", "1");
  Recorded first = Submit(MakeRequest("hello", 5, "a"));
  Recorded second = Submit(MakeRequest("hello", 5, "a"));
  Recorded base = Submit(MakeRequest("hello", 5));
  Step();
  residency_.FailLoad(
      ref, MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH", "", "wrong digest"));
  ASSERT_TRUE(RunUntilIdle());
  for (Recorded* r : {&first, &second}) {
    r->Read();
    EXPECT_EQ(r->error.code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(ErrorReason(r->error), "DIGEST_MISMATCH");
    EXPECT_EQ(r->terminals, 1);
  }
  base.Read();
  EXPECT_EQ(base.reason(), FinishReason::kLength);
}

TEST_F(AdapterGateTest, AWaitThatIsTooLongEndsUnavailable) {
  residency_.HoldLoads(true);
  catalogue_.SetLive("t", "a", "1");
  Recorded waiting = Submit(MakeRequest("hello", 5, "a"));
  Step();
  clock_.Advance(options_.adapter_wait - absl::Milliseconds(1));
  Step();
  waiting.Read();
  EXPECT_FALSE(waiting.ended());
  clock_.Advance(absl::Milliseconds(1));
  Step();
  waiting.Read();
  EXPECT_EQ(waiting.error.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(waiting.error), "ADAPTER_LOADING");
  EXPECT_TRUE(ErrorRetryAfter(waiting.error).has_value());
}

TEST_F(AdapterGateTest, ADeadlineInTheWaitSaysThatItWasLoading) {
  residency_.HoldLoads(true);
  catalogue_.SetLive("t", "a", "1");
  Request request = MakeRequest("hello", 5, "a");
  request.deadline = clock_.Now() + absl::Seconds(1);
  Recorded waiting = Submit(std::move(request));
  Step();
  clock_.Advance(absl::Seconds(1));
  Step();
  waiting.Read();
  EXPECT_EQ(waiting.error.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(waiting.error), "ADAPTER_LOADING");
}

class AdapterGateSettledTest : public EngineFixture {
 protected:
  // A request whose load has settled waits behind one that has the only place.
  AdapterGateSettledTest() {
    options_.max_running = 1;
    residency_.HoldLoads(true);
    ref_ = catalogue_.SetLive("t", "a", "1");
    running_ = Submit(MakeRequest("hello", 20));
    Step();
    Request request = MakeRequest("hello", 5, "a");
    request.deadline = clock_.Now() + 2 * options_.adapter_wait;
    settled_ = Submit(std::move(request));
    Step();
    clock_.Advance(absl::Milliseconds(10));
    residency_.FinishLoads();
    Step();
  }
  AdapterRef ref_;
  Recorded running_, settled_;
};

TEST_F(AdapterGateSettledTest, WaitingForAPlaceIsNotWaitingForTheAdapter) {
  clock_.Advance(options_.adapter_wait);
  ASSERT_TRUE(RunUntilIdle());
  settled_.Read();
  EXPECT_EQ(settled_.token_ids, PuppetExecutor::Alone(ref_, Bytes("hello"), 5));
  EXPECT_EQ(settled_.finished.value().timings.adapter_wait, absl::Milliseconds(10));
}

TEST_F(AdapterGateSettledTest, ADeadlineThenSaysDeadline) {
  clock_.Advance(2 * options_.adapter_wait);
  ASSERT_TRUE(RunUntilIdle());
  settled_.Read();
  EXPECT_EQ(settled_.error.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ErrorReason(settled_.error), "DEADLINE_EXCEEDED");
}

TEST_F(AdapterGateTest, WhoLacksBlocksDoesNotUseUpTheFirstUseOfItsAdapter) {
  catalogue_.SetLive("t", "a", "1");
  Recorded first = Submit(MakeRequest(std::string(100, 'a'), 28));
  Recorded second = Submit(MakeRequest(std::string(100, 'b'), 28));
  Recorded third = Submit(MakeRequest(std::string(100, 'c'), 25, "a"));
  for (int i = 0; i < 10; ++i) Step();
  EXPECT_EQ(residency_.pin_attempts(), 0);
  ASSERT_TRUE(RunUntilIdle());
  third.Read();
  EXPECT_EQ(third.reason(), FinishReason::kLength);
  EXPECT_EQ(residency_.pin_attempts(), 1);
}

TEST_F(AdapterGateTest, AnAdapterThatWasEvictedWhileItsRequestWaitedIsLoadedAgain) {
  options_.max_running = 1;
  const AdapterRef ref = catalogue_.SetLive("t", "a", "1");
  Recorded first = Submit(MakeRequest("hello", 5));
  Step();
  Recorded second = Submit(MakeRequest("hello", 5, "a"));
  Step();
  EXPECT_TRUE(residency_.Evict(ref));
  ASSERT_TRUE(RunUntilIdle());
  clock_.Advance(options_.adapter_retry);
  ASSERT_TRUE(RunUntilIdle());
  second.Read();
  EXPECT_EQ(second.token_ids, PuppetExecutor::Alone(ref, Bytes("hello"), 5));
  EXPECT_EQ(residency_.requests(), 2);
}

class AdapterGateFullTest : public EngineFixture {
 protected:
  AdapterGateFullTest() {
    auto engine =
        Engine::Create(options_, {&executor_, &tokenizer_, &catalogue_, &one_, &clock_, nullptr});
    EXPECT_EQ(engine.status(), absl::OkStatus());
    small_ = *std::move(engine);
    catalogue_.SetLive("t", "a", "1");
    b_ = catalogue_.SetLive("t", "b", "2");
    first_.reader = *small_->Submit(MakeRequest("hello", 20, "a"));
    small_->Step();  // the first has the only place in the cache
    second_.reader = *small_->Submit(MakeRequest("hello", 5, "b"));
  }
  FakeResidency one_{1};
  AdapterRef b_;
  std::unique_ptr<Engine> small_;
  Recorded first_, second_;
};

TEST_F(AdapterGateFullTest, AFullCacheWaitsUntilAPinIsGone) {
  while (small_->Step()) {
  }
  first_.Read();
  EXPECT_EQ(first_.reason(), FinishReason::kLength);
  second_.Read();
  EXPECT_EQ(second_.token_ids, PuppetExecutor::Alone(b_, Bytes("hello"), 5));
}

TEST_F(AdapterGateFullTest, AFullCacheIsNotWaitedForForever) {
  small_->Step();
  clock_.Advance(options_.adapter_wait);
  small_->Step();
  second_.Read();
  EXPECT_EQ(second_.error.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(second_.error), "ADAPTER_CACHE_FULL");
  EXPECT_TRUE(ErrorRetryAfter(second_.error).has_value());
}

}  // namespace
}  // namespace lamella
