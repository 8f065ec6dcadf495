// The engine with its own thread: many callers, random cancels, drains. For ThreadSanitizer.
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "common/base/clock.h"
#include "common/base/error.h"
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

// Reads on the engine's thread and lets the test wait for the end.
class Consumer {
 public:
  explicit Consumer(StreamReader reader) {
    recorded_.reader = std::move(reader);
    recorded_.reader.SetReadyCallback([this] {
      MutexLock lock(&mutex_);
      recorded_.Read();
      if (recorded_.ended()) ended_.NotifyAll();
    });
  }
  // The callback uses the rest of this object: the reader goes first.
  ~Consumer() { recorded_.reader = StreamReader(); }
  void Cancel() { recorded_.reader.Cancel(); }
  const Recorded& WaitForEnd() {
    MutexLock lock(&mutex_);
    while (!recorded_.ended()) ended_.Wait(&mutex_);
    return recorded_;
  }

 private:
  Mutex mutex_;
  CondVar ended_;
  Recorded recorded_;
};

class EngineThreadTest : public testing::Test {
 protected:
  EngineThreadTest() {
    options_.step_tokens = 32;
    options_.prefill_chunk_tokens = 8;
    options_.max_running = 12;
    options_.admission.max_queued = 64;
    for (const char* name : {"a", "b", "c"}) refs_[name] = catalogue_.SetLive("t", name, name);
    auto engine = Engine::Create(
        options_, {&executor_, &tokenizer_, &catalogue_, &residency_, &clock_, nullptr});
    EXPECT_EQ(engine.status(), absl::OkStatus());
    engine_ = *std::move(engine);
  }

  RealClock clock_;
  FakeTokenizer tokenizer_;
  FakeCatalogue catalogue_;
  FakeResidency residency_{2};  // fewer than the adapters: loads, evictions and a full cache
  PuppetExecutor executor_{PuppetExecutor::SmallLimits()};
  EngineOptions options_;
  std::map<std::string, AdapterRef> refs_ = {{"", {}}};
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineThreadTest, EveryAcceptedRequestOfManyThreadsHasOneRightEnd) {
  constexpr int kThreads = 4;
  constexpr int kEach = 60;
  std::atomic<int> finished = 0;
  std::atomic<int> cancelled = 0;
  const auto submit_all = [&](unsigned seed) {
    std::mt19937 random(seed);
    const std::vector<std::string> names = {"", "a", "b", "c"};
    for (int i = 0; i < kEach; ++i) {
      const std::string& name = names[random() % names.size()];
      const std::string prompt(1 + random() % 20, static_cast<char>('A' + random() % 26));
      const auto length = static_cast<int32_t>(1 + random() % 20);
      absl::StatusOr<StreamReader> reader = engine_->Submit(MakeRequest(prompt, length, name));
      if (!reader.ok()) {
        EXPECT_EQ(ErrorReason(reader.status()), "QUEUE_FULL");
        continue;
      }
      if (random() % 8 == 0) continue;  // gone at once
      Consumer consumer(*std::move(reader));
      if (random() % 4 == 0) consumer.Cancel();
      const Recorded& recorded = consumer.WaitForEnd();
      EXPECT_EQ(recorded.terminals, 1);
      if (recorded.finished.has_value()) {
        ++finished;
        EXPECT_EQ(recorded.token_ids, PuppetExecutor::Alone(refs_[name], Bytes(prompt), length));
      } else {
        ++cancelled;
        EXPECT_EQ(recorded.error.code(), absl::StatusCode::kCancelled) << recorded.error;
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) threads.emplace_back(submit_all, t);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(finished, 0);
  engine_->Drain(absl::Minutes(1));
  engine_->Stop();
  EXPECT_EQ(engine_->CheckIntegrity(), absl::OkStatus());
  EXPECT_EQ(engine_->in_flight(), 0);
  EXPECT_EQ(residency_.pins(), 0);
}

TEST_F(EngineThreadTest, DrainEndsWhatItsGraceDoesNotCover) {
  residency_.HoldLoads(true);
  Consumer loading(*engine_->Submit(MakeRequest("hello", 10, "a")));
  Consumer quick(*engine_->Submit(MakeRequest("hello", 3)));
  engine_->Drain(absl::Milliseconds(50));
  EXPECT_EQ(ErrorReason(loading.WaitForEnd().error), "DRAINING");
  EXPECT_EQ(quick.WaitForEnd().reason(), FinishReason::kLength);
  EXPECT_EQ(engine_->in_flight(), 0);
}

TEST_F(EngineThreadTest, AnIdleEngineNoticesACancelInALoad) {
  residency_.HoldLoads(true);
  Consumer loading(*engine_->Submit(MakeRequest("hello", 10, "a")));
  loading.Cancel();
  EXPECT_EQ(loading.WaitForEnd().error.code(), absl::StatusCode::kCancelled);
}

TEST_F(EngineThreadTest, AnIdleEngineNoticesAFinishedLoad) {
  residency_.HoldLoads(true);
  Consumer loading(*engine_->Submit(MakeRequest("hello", 10, "a")));
  while (residency_.Loading().empty()) std::this_thread::yield();
  residency_.FinishLoads();
  EXPECT_EQ(loading.WaitForEnd().reason(), FinishReason::kLength);
}

TEST_F(EngineThreadTest, StopInMidStreamEndsIt) {
  executor_.Hold();
  Consumer running(*engine_->Submit(MakeRequest("hello", 100)));
  std::thread stopper([this] { engine_->Stop(); });
  executor_.Release();
  const Recorded& recorded = running.WaitForEnd();
  EXPECT_EQ(recorded.terminals, 1);
  stopper.join();
}

TEST_F(EngineThreadTest, AReaderMayOutliveTheEngine) {
  executor_.Hold();
  StreamReader reader = *engine_->Submit(MakeRequest("hello", 100));
  executor_.Release();
  engine_.reset();
  EXPECT_TRUE(reader.TryRead().has_value());
}

}  // namespace
}  // namespace lamella
