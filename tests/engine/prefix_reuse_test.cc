// Equal beginnings are computed once, and nobody has another's past.
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

class PrefixReuseTest : public EngineFixture {
 protected:
  PrefixReuseTest() {
    executor_.OnLaunch([this](const StepInput& input) { rows_ += input.rows(); });
  }

  // Answers `request` alone; the rows that it took, and what it was told.
  struct Answered {
    int32_t rows = 0;
    int32_t cached_tokens = 0;
    std::vector<int32_t> token_ids;
  };
  Answered Answer(Request request) {
    rows_ = 0;
    Recorded recorded = Submit(std::move(request));
    EXPECT_TRUE(RunUntilIdle());
    recorded.Read();
    if (!recorded.finished.has_value()) {
      ADD_FAILURE() << recorded.error;
      return {};
    }
    EXPECT_EQ(recorded.started->cached_tokens, recorded.finished->usage.cached_tokens);
    return {rows_, recorded.finished->usage.cached_tokens, recorded.token_ids};
  }

  int32_t rows_ = 0;
  const std::string prompt_ = std::string(50, 'p');
};

TEST_F(PrefixReuseTest, TheSecondComputesOnlyWhatIsNew) {
  const Answered first = Answer(MakeRequest(prompt_ + "abcd", 1));
  EXPECT_EQ(first.rows, 54);
  EXPECT_EQ(first.cached_tokens, 0);
  const Answered second = Answer(MakeRequest(prompt_ + "wxyz", 1));
  // 12 full blocks of 4 are the same.
  EXPECT_EQ(second.cached_tokens, 48);
  EXPECT_EQ(second.rows, 6);
  EXPECT_EQ(second.token_ids, PuppetExecutor::Alone({}, Bytes(prompt_ + "wxyz"), 1));
}

TEST_F(PrefixReuseTest, AnswersAreReusedToo) {
  const Answered first = Answer(MakeRequest("abcd", 20));
  std::string next = "abcd" + Text(first.token_ids) + "more";
  const Answered second = Answer(MakeRequest(next, 1));
  // Of 24 tokens the last was never computed.
  EXPECT_EQ(second.cached_tokens, 20);
  EXPECT_EQ(second.token_ids, PuppetExecutor::Alone({}, Bytes(next), 1));
}

TEST_F(PrefixReuseTest, OneTokenAtLeastIsComputed) {
  Answer(MakeRequest("12345678", 1));
  const Answered again = Answer(MakeRequest("12345678", 3));
  EXPECT_EQ(again.cached_tokens, 4);
  EXPECT_EQ(again.token_ids, PuppetExecutor::Alone({}, Bytes("12345678"), 3));
}

TEST_F(PrefixReuseTest, TenantsShareNothing) {
  Answer(MakeRequest(prompt_, 1));
  Request foreign = MakeRequest(prompt_, 1);
  foreign.tenant = "u";
  EXPECT_EQ(Answer(foreign).cached_tokens, 0);
  EXPECT_EQ(Answer(foreign).cached_tokens, 48);
}

TEST_F(PrefixReuseTest, TenantsShareTheBaseIfTheOperatorSaysSo) {
  options_.share_base_prefixes = true;
  catalogue_.SetLive("t", "a", "1");
  catalogue_.SetLive("u", "a", "1");
  Answer(MakeRequest(prompt_, 1));
  Answer(MakeRequest(prompt_, 1, "a"));
  Request foreign = MakeRequest(prompt_, 1);
  foreign.tenant = "u";
  EXPECT_EQ(Answer(foreign).cached_tokens, 48);
  // Never of an adapter, even of one with the same bytes.
  foreign.adapter_id = "a";
  EXPECT_EQ(Answer(foreign).cached_tokens, 0);
}

TEST_F(PrefixReuseTest, VersionsAndSaltsShareNothing) {
  catalogue_.SetLive("t", "a", "1");
  Answer(MakeRequest(prompt_, 1, "a"));
  EXPECT_EQ(Answer(MakeRequest(prompt_, 1)).cached_tokens, 0);
  Request salted = MakeRequest(prompt_, 1, "a");
  salted.cache_salt = "s";
  EXPECT_EQ(Answer(salted).cached_tokens, 0);
  EXPECT_EQ(Answer(MakeRequest(prompt_, 1, "a")).cached_tokens, 48);
  catalogue_.SetLive("t", "a", "2");
  EXPECT_EQ(Answer(MakeRequest(prompt_, 1, "a")).cached_tokens, 0);
}

TEST_F(PrefixReuseTest, AFailedStepPublishesNothing) {
  Recorded failed = Submit(MakeRequest(prompt_, 1));
  executor_.FailNextStep(absl::InternalError("broken"));
  ASSERT_TRUE(RunUntilIdle());
  failed.Read();
  EXPECT_FALSE(failed.error.ok());
  EXPECT_EQ(Answer(MakeRequest(prompt_, 1)).cached_tokens, 0);
}

TEST_F(PrefixReuseTest, ACancelledRequestPublishesNothingOfItsLastStep) {
  Recorded cancelled = Submit(MakeRequest(std::string(12, 'c'), 1));
  executor_.OnLaunch([&](const StepInput&) { cancelled.reader.Cancel(); });
  ASSERT_TRUE(RunUntilIdle());
  executor_.OnLaunch([this](const StepInput& input) { rows_ += input.rows(); });
  EXPECT_EQ(Answer(MakeRequest(std::string(12, 'c'), 1)).cached_tokens, 0);
}

TEST_F(PrefixReuseTest, PastsGiveWayToRequests) {
  // Each takes 25 of 64 blocks: the third needs some of the first's.
  for (const char letter : {'a', 'b', 'c', 'd'}) Answer(MakeRequest(std::string(100, letter), 1));
  EXPECT_EQ(Answer(MakeRequest(std::string(100, 'd'), 1)).cached_tokens, 96);
  const Answered oldest = Answer(MakeRequest(std::string(100, 'a'), 1));
  EXPECT_LT(oldest.cached_tokens, 96);
  EXPECT_EQ(oldest.token_ids, PuppetExecutor::Alone({}, Bytes(std::string(100, 'a')), 1));
}

TEST_F(PrefixReuseTest, CanBeTurnedOff) {
  options_.prefix_reuse = false;
  Answer(MakeRequest(prompt_, 1));
  EXPECT_EQ(Answer(MakeRequest(prompt_, 1)).cached_tokens, 0);
}

}  // namespace
}  // namespace lamella
