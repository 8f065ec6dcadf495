// The laws of an accepted request: the right adapter, whatever the neighbours, one end.
#include "server/engine/engine.h"

#include "common/base/error.h"
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

using EngineTest = EngineFixture;

TEST_F(EngineTest, AnswersWithTheExecutorsTokens) {
  Recorded answer = Submit(MakeRequest("hello", 5));
  ASSERT_TRUE(RunUntilIdle());
  answer.Read();
  EXPECT_EQ(answer.token_ids, PuppetExecutor::Alone({}, Bytes("hello"), 5));
  EXPECT_EQ(answer.text, Text(answer.token_ids));
  EXPECT_EQ(answer.reason(), FinishReason::kLength);
  EXPECT_EQ(answer.terminals, 1);
  EXPECT_EQ(answer.finished->usage.prompt_tokens, 5);
  EXPECT_EQ(answer.finished->usage.generated_tokens, 5);
  EXPECT_EQ(answer.started->prompt_tokens, 5);
}

TEST_F(EngineTest, TellsWhetherItComputes) {
  const Recorded answer = Submit(MakeRequest("hello", 3));
  EXPECT_FALSE(computing_);
  Step();
  EXPECT_TRUE(computing_);
  ASSERT_TRUE(RunUntilIdle());
  EXPECT_FALSE(computing_);
}

TEST_F(EngineTest, RightAdapterThoughTheAliasMoves) {
  const AdapterRef old_version = catalogue_.SetLive("t", "a", "1");
  Recorded first = Submit(MakeRequest("hello", 9, "a"));
  Step();
  const AdapterRef new_version = catalogue_.SetLive("t", "a", "2");
  Recorded second = Submit(MakeRequest("hello", 9, "a"));
  ASSERT_TRUE(RunUntilIdle());
  first.Read();
  second.Read();
  EXPECT_EQ(first.token_ids, PuppetExecutor::Alone(old_version, Bytes("hello"), 9));
  EXPECT_EQ(second.token_ids, PuppetExecutor::Alone(new_version, Bytes("hello"), 9));
  EXPECT_NE(first.token_ids, second.token_ids);
  EXPECT_EQ(first.started->version, old_version.version);
  EXPECT_EQ(second.started->adapter, "a");
}

TEST_F(EngineTest, NeighboursDoNotMatter) {
  std::vector<AdapterRef> adapters = {{}};
  for (const char* name : {"a", "b", "c"}) adapters.push_back(catalogue_.SetLive("t", name, name));
  std::vector<Recorded> answers;
  std::vector<std::string> prompts;
  for (int i = 0; i < 24; ++i) {
    const AdapterRef& adapter = adapters[static_cast<size_t>(i) % adapters.size()];
    prompts.push_back(std::string(static_cast<size_t>(1 + 7 * i % 30), static_cast<char>('A' + i)));
    answers.push_back(Submit(MakeRequest(prompts.back(), 3 + i, adapter.name)));
    if (i % 3 == 0) Step();
  }
  ASSERT_TRUE(RunUntilIdle());
  for (int i = 0; i < 24; ++i) {
    const auto at = static_cast<size_t>(i);
    answers[at].Read();
    EXPECT_EQ(answers[at].token_ids,
              PuppetExecutor::Alone(adapters[at % adapters.size()], Bytes(prompts[at]), 3 + i))
        << i;
  }
}

TEST_F(EngineTest, SameSeedSameAnswerAndASeedIsEchoed) {
  Request request = MakeRequest("hi", 12);
  request.sampling.temperature = 1;
  request.sampling.seed = 0;
  request.sampling.has_seed = true;
  Recorded first = Submit(request);
  Recorded second = Submit(request);
  request.sampling.has_seed = false;
  Recorded drawn = Submit(request);
  ASSERT_TRUE(RunUntilIdle());
  for (Recorded* r : {&first, &second, &drawn}) r->Read();
  EXPECT_EQ(first.token_ids, second.token_ids);
  EXPECT_EQ(first.started->seed, 0u);
  EXPECT_NE(drawn.started->seed, 0u);
  SamplingParams with_drawn = request.sampling;
  with_drawn.seed = drawn.started->seed;
  EXPECT_EQ(drawn.token_ids, PuppetExecutor::Alone({}, Bytes("hi"), 12, with_drawn));
}

TEST_F(EngineTest, StopsAtTheModelsEndUnlessTold) {
  executor_.Script('q', {'x', FakeTokenizer::kEos, 'y', 'z'});
  Request ignoring = MakeRequest("q", 4);
  ignoring.stop.ignore_eos = true;
  Recorded stopped = Submit(MakeRequest("q", 4));
  Recorded ignored = Submit(std::move(ignoring));
  ASSERT_TRUE(RunUntilIdle());
  stopped.Read();
  ignored.Read();
  EXPECT_EQ(stopped.reason(), FinishReason::kStopToken);
  EXPECT_EQ(stopped.finished->choices[0].matched_token_id, FakeTokenizer::kEos);
  EXPECT_EQ(stopped.text, "x");
  EXPECT_EQ(stopped.finished->usage.generated_tokens, 2);
  EXPECT_EQ(ignored.reason(), FinishReason::kLength);
  EXPECT_EQ(ignored.text, "xyz");
}

TEST_F(EngineTest, EndOfContextIsALength) {
  const std::string prompt(125, 'p');
  Recorded answer = Submit(MakeRequest(prompt, 100));
  ASSERT_TRUE(RunUntilIdle());
  answer.Read();
  EXPECT_EQ(answer.reason(), FinishReason::kLength);
  EXPECT_EQ(answer.token_ids, PuppetExecutor::Alone({}, Bytes(prompt), 3));
}

TEST_F(EngineTest, CancelFreesItsBlocksAndPinWithinOneStep) {
  catalogue_.SetLive("t", "a", "1");
  Recorded answer = Submit(MakeRequest("hello", 50, "a"));
  Step();
  EXPECT_EQ(residency_.pins(), 1);
  answer.reader.Cancel();
  EXPECT_FALSE(Step());
  EXPECT_EQ(residency_.pins(), 0);
  EXPECT_EQ(engine().in_flight(), 0);
  answer.Read();
  EXPECT_EQ(answer.error.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ErrorReason(answer.error), "CANCELLED");
  EXPECT_EQ(answer.terminals, 1);
}

TEST_F(EngineTest, AReaderThatGoesAwayCancels) {
  { const Recorded gone = Submit(MakeRequest("hello", 50)); }
  EXPECT_FALSE(Step());
  EXPECT_EQ(engine().in_flight(), 0);
}

TEST_F(EngineTest, CancelWorksWhileTheAdapterLoads) {
  residency_.HoldLoads(true);
  catalogue_.SetLive("t", "a", "1");
  Recorded answer = Submit(MakeRequest("hello", 5, "a"));
  EXPECT_FALSE(Step());
  answer.reader.Cancel();
  EXPECT_FALSE(Step());
  answer.Read();
  EXPECT_EQ(answer.error.code(), absl::StatusCode::kCancelled);
  residency_.FinishLoads();  // nobody is left to care
  EXPECT_FALSE(Step());
}

TEST_F(EngineTest, ADeadlineEndsARunningRequest) {
  executor_.TakeTime(&clock_, absl::Milliseconds(10));
  Request request = MakeRequest("hello", 50);
  request.deadline = clock_.Now() + absl::Milliseconds(35);
  Recorded answer = Submit(std::move(request));
  ASSERT_TRUE(RunUntilIdle());
  answer.Read();
  EXPECT_EQ(answer.error.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ErrorReason(answer.error), "DEADLINE_EXCEEDED");
  EXPECT_EQ(executor_.steps(), 4);
  EXPECT_EQ(answer.terminals, 1);
}

// Also of a request whose own deadline is later; an earlier one stays what it is.
TEST_F(EngineTest, TheTimeLimitEndsARequestWithoutADeadline) {
  options_.max_request_time = absl::Milliseconds(35);
  executor_.TakeTime(&clock_, absl::Milliseconds(10));
  Recorded without = Submit(MakeRequest("hello", 50));
  Request later = MakeRequest("hello", 50);
  later.deadline = clock_.Now() + absl::Hours(1);
  Recorded with = Submit(std::move(later));
  Request earlier = MakeRequest("hello", 50);
  earlier.deadline = clock_.Now() + absl::Milliseconds(15);
  Recorded own = Submit(std::move(earlier));
  ASSERT_TRUE(RunUntilIdle());
  for (Recorded* answer : {&without, &with}) {
    answer->Read();
    EXPECT_EQ(answer->error.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(ErrorReason(answer->error), "REQUEST_TIME_LIMIT");
    EXPECT_NE(std::string(answer->error.message()).find("took 35ms"), std::string::npos)
        << answer->error;
    EXPECT_EQ(answer->terminals, 1);
  }
  own.Read();
  EXPECT_EQ(ErrorReason(own.error), "DEADLINE_EXCEEDED");
  EXPECT_EQ(executor_.steps(), 4);
}

TEST_F(EngineTest, ExecutorFailureEndsOnlyTheRowsOfThatStep) {
  Recorded failed = Submit(MakeRequest("hello", 5));
  Step();
  Recorded later = Submit(MakeRequest("world", 5));
  residency_.HoldLoads(true);
  catalogue_.SetLive("t", "a", "1");
  Recorded waiting = Submit(MakeRequest("hello", 5, "a"));
  executor_.FailNextStep(absl::InternalError("/secret/path"));
  Step();
  residency_.FinishLoads();
  ASSERT_TRUE(RunUntilIdle());
  for (Recorded* r : {&failed, &later, &waiting}) r->Read();
  EXPECT_EQ(failed.error.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ErrorReason(failed.error), "INTERNAL");
  EXPECT_EQ(failed.error.message().find("secret"), std::string::npos);
  EXPECT_EQ(later.error.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(waiting.reason(), FinishReason::kLength);
}

TEST_F(EngineTest, ANonFiniteRowEndsOnlyItsRequest) {
  executor_.Poison('!');
  Recorded poisoned = Submit(MakeRequest("!bad", 5));
  Recorded neighbour = Submit(MakeRequest("good", 5));
  ASSERT_TRUE(RunUntilIdle());
  poisoned.Read();
  neighbour.Read();
  EXPECT_EQ(poisoned.error.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ErrorReason(poisoned.error), "NON_FINITE_LOGITS");
  EXPECT_EQ(neighbour.token_ids, PuppetExecutor::Alone({}, Bytes("good"), 5));
}

TEST_F(EngineTest, ASlowReaderCostsItsOwnStreamOnly) {
  options_.stream_buffer_bytes = 40;  // eight letters with their ids
  Recorded slow = Submit(MakeRequest("slow", 30));
  Recorded quick = Submit(MakeRequest("quick", 30));
  while (Step()) quick.Read();
  slow.Read();
  quick.Read();
  EXPECT_EQ(slow.error.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(slow.error), "SLOW_READER");
  EXPECT_EQ(slow.terminals, 1);
  EXPECT_EQ(slow.text.size(), 8u);
  EXPECT_EQ(quick.reason(), FinishReason::kLength);
}

TEST_F(EngineTest, DrainLetsAcceptedRequestsFinish) {
  Recorded running = Submit(MakeRequest("hello", 5));
  Step();
  Recorded queued = Submit(MakeRequest("world", 5));
  engine().BeginDrain(absl::Seconds(10));
  const absl::Status refusal = Refusal(MakeRequest("late", 5));
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(refusal), "DRAINING");
  EXPECT_EQ(ErrorRetryAfter(refusal), absl::Seconds(10));
  ASSERT_TRUE(RunUntilIdle());
  running.Read();
  queued.Read();
  EXPECT_EQ(running.reason(), FinishReason::kLength);
  EXPECT_EQ(queued.reason(), FinishReason::kLength);
}

TEST_F(EngineTest, DrainEndsTheRestAfterItsGrace) {
  executor_.TakeTime(&clock_, absl::Seconds(1));
  Recorded running = Submit(MakeRequest("hello", 50));
  engine().BeginDrain(absl::Seconds(3));
  ASSERT_TRUE(RunUntilIdle());
  running.Read();
  EXPECT_EQ(running.error.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(running.error), "DRAINING");
  EXPECT_EQ(executor_.steps(), 3);
  EXPECT_EQ(running.terminals, 1);
}

TEST_F(EngineTest, StopEndsWhatIsQueuedAndRunning) {
  Recorded running = Submit(MakeRequest("hello", 50));
  Step();
  Recorded queued = Submit(MakeRequest("world", 50));
  engine().Stop();
  running.Read();
  queued.Read();
  EXPECT_EQ(ErrorReason(running.error), "DRAINING");
  EXPECT_EQ(ErrorReason(queued.error), "DRAINING");
  EXPECT_EQ(ErrorReason(Refusal(MakeRequest("late", 1))), "DRAINING");
}

TEST_F(EngineTest, TimingsComeFromTheClock) {
  executor_.TakeTime(&clock_, absl::Milliseconds(10));
  residency_.HoldLoads(true);
  catalogue_.SetLive("t", "a", "1");
  Recorded answer = Submit(MakeRequest("0123456789", 4, "a"));
  clock_.Advance(absl::Milliseconds(5));
  Step();
  clock_.Advance(absl::Milliseconds(50));
  residency_.FinishLoads();
  ASSERT_TRUE(RunUntilIdle());
  answer.Read();
  const Timings& timings = answer.finished.value().timings;
  EXPECT_EQ(timings.queue, absl::Milliseconds(55));
  EXPECT_EQ(timings.adapter_wait, absl::Milliseconds(50));
  EXPECT_EQ(timings.prefill, absl::Milliseconds(10));  // one step: nobody decodes beside it
  EXPECT_EQ(timings.first_token, absl::Milliseconds(65));
  EXPECT_EQ(timings.decode, absl::Milliseconds(30));
  EXPECT_EQ(timings.steps, 4);
  EXPECT_EQ(timings.mean_distinct_adapters, 1.0);
}

TEST_F(EngineTest, OptionsThatContradictTheExecutorAreRefused) {
  options_.step_tokens = 1000;
  const auto engine = Engine::Create(
      options_, {&executor_, &tokenizer_, &catalogue_, &residency_, &clock_, nullptr});
  EXPECT_EQ(engine.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorField(engine.status()), "step_tokens");
}

}  // namespace
}  // namespace lamella
