// A numeric fault is one request's end, and in the end its adapter's; never a neighbour's.
#include "server/engine/adapter_strikes.h"

#include <utility>
#include <vector>

#include "common/base/error.h"
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

class RecordingSink final : public AdapterFaultSink {
 public:
  void OnNonFinite(const AdapterRef& ref, int32_t requests) override {
    reported.emplace_back(ref, requests);
  }
  std::vector<std::pair<AdapterRef, int32_t>> reported;
};

TEST(AdapterStrikesTest, CountsEachVersionByItself) {
  RecordingSink sink;
  AdapterStrikes strikes(3, &sink);
  const AdapterRef a{"t", "a", "1"};
  const AdapterRef renamed{"t", "renamed", "1"};
  const AdapterRef next{"t", "a", "2"};
  for (const AdapterRef& ref : {a, next, renamed, next}) strikes.Count(ref);
  EXPECT_TRUE(sink.reported.empty());
  strikes.Count(a);
  ASSERT_EQ(sink.reported.size(), 1U);
  EXPECT_EQ(sink.reported[0], std::make_pair(a, 3));
}

TEST(AdapterStrikesTest, TheCountStartsAgainAfterAReport) {
  RecordingSink sink;
  AdapterStrikes strikes(2, &sink);
  for (int i = 0; i < 5; ++i) strikes.Count({"t", "a", "1"});
  EXPECT_EQ(sink.reported.size(), 2U);
}

TEST(AdapterStrikesTest, TheBaseIsNeverReported) {
  RecordingSink sink;
  AdapterStrikes strikes(1, &sink);
  strikes.Count(AdapterRef());
  EXPECT_TRUE(sink.reported.empty());
}

TEST(AdapterStrikesTest, NobodyNeedsToListen) {
  AdapterStrikes strikes(1, nullptr);
  strikes.Count({"t", "a", "1"});
}

class NumericFaultTest : public EngineFixture {
 protected:
  NumericFaultTest() {
    executor_.Poison('!');
    a_ = catalogue_.SetLive("t", "a", "1");
    auto engine = Engine::Create(
        options_, {&executor_, &tokenizer_, &catalogue_, &residency_, &clock_, nullptr, &sink_});
    EXPECT_EQ(engine.status(), absl::OkStatus());
    watched_ = *std::move(engine);
  }
  Recorded Start(Request request) {
    Recorded recorded;
    recorded.reader = *watched_->Submit(std::move(request));
    return recorded;
  }
  void Run() {
    while (watched_->Step()) {
    }
  }

  AdapterRef a_;
  RecordingSink sink_;
  std::unique_ptr<Engine> watched_;
};

TEST_F(NumericFaultTest, FailsItsRequestsAndReportsTheirVersion) {
  std::vector<Recorded> bad;
  for (int i = 0; i < 3; ++i) bad.push_back(Start(MakeRequest("!bad", 5, "a")));
  Recorded same = Start(MakeRequest("good", 9, "a"));
  Recorded base = Start(MakeRequest("good", 9));
  Run();
  for (Recorded& one : bad) {
    one.Read();
    EXPECT_EQ(one.error.code(), absl::StatusCode::kInternal);
    EXPECT_EQ(ErrorReason(one.error), "NON_FINITE_LOGITS");
    EXPECT_EQ(one.terminals, 1);
  }
  same.Read();
  base.Read();
  EXPECT_EQ(same.token_ids, PuppetExecutor::Alone(a_, Bytes("good"), 9));
  EXPECT_EQ(base.token_ids, PuppetExecutor::Alone({}, Bytes("good"), 9));
  ASSERT_EQ(sink_.reported.size(), 1U);
  EXPECT_EQ(sink_.reported[0], std::make_pair(a_, options_.adapter_strikes));
}

TEST_F(NumericFaultTest, AFaultOfTheBaseIsReportedToNobody) {
  std::vector<Recorded> bad;
  for (int i = 0; i < 6; ++i) bad.push_back(Start(MakeRequest("!bad", 5)));
  Run();
  EXPECT_TRUE(sink_.reported.empty());
}

}  // namespace
}  // namespace lamella
