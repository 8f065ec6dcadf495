#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/reasons.h"
#include "gtest/gtest.h"
#include "server/engine/admission.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_tenants.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsOk;

// Requests of tenants "a", "b", ... whose tickets the test keeps by name.
class AdmissionLimitsTest : public ::testing::Test {
 protected:
  AdmissionController& admission() {
    if (!admission_.has_value()) admission_.emplace(options_, &tenants_, &clock_);
    return *admission_;
  }
  void TearDown() override {
    tickets_.clear();
    EXPECT_EQ(admission().in_flight(), 0);
    EXPECT_EQ(admission().queued(), 0);
    EXPECT_EQ(admission().queued_tokens(), 0);
    clock_.Advance(absl::Hours(1));
    (void)admission().Admit({.tenant = "z"});
    EXPECT_LE(admission().known_tenants(), 8) << "those who used tokens, until there are many";
  }

  absl::Status TryAdmit(const std::string& tenant, int64_t tokens,
                        absl::Duration timeout = absl::InfiniteDuration()) {
    absl::StatusOr<AdmissionTicket> ticket =
        admission().Admit({.tenant = tenant, .deadline = clock_.Now() + timeout});
    if (!ticket.ok()) return ticket.status();
    if (absl::Status status = ticket->Settle(tokens); !status.ok()) return status;
    tickets_.push_back(*std::move(ticket));
    return absl::OkStatus();
  }
  void Admit(const std::string& tenant, int64_t tokens) {
    EXPECT_TRUE(IsOk(TryAdmit(tenant, tokens)));
  }
  // The oldest ones leave the queue, one in each step of 100 ms.
  void LeaveQueue(size_t requests) {
    for (size_t i = 0; i < requests; ++i) {
      clock_.Advance(absl::Milliseconds(100));
      tickets_[left_++].LeaveQueue();
    }
  }
  // So that 1000 tokens leave the queue in a second; nothing is left in it.
  void LearnThePace() {
    for (int i = 0; i < 11; ++i) Admit("learns", 100);
    LeaveQueue(11);
    tickets_.clear();
    left_ = 0;
  }
  static ::testing::AssertionResult Refused(const absl::Status& status, const char* reason,
                                            const char* message, absl::Duration retry_after) {
    if (auto is =
            testing::IsError(status, absl::StatusCode::kResourceExhausted, reason, "", message);
        !is) {
      return is;
    }
    const absl::Duration told = ErrorRetryAfter(status).value_or(absl::ZeroDuration());
    if (absl::AbsDuration(told - retry_after) < absl::Milliseconds(2)) {
      return ::testing::AssertionSuccess();
    }
    return ::testing::AssertionFailure() << "retry after " << told;
  }

  FakeClock clock_;
  FakeTenants tenants_;
  AdmissionOptions options_;
  std::optional<AdmissionController> admission_;
  std::vector<AdmissionTicket> tickets_;
  size_t left_ = 0;
};

TEST_F(AdmissionLimitsTest, ATenantHasItsRequestsInFlightAndOthersTheirs) {
  tenants_["a"].max_in_flight = 2;
  Admit("a", 10);
  Admit("a", 10);
  LeaveQueue(2);
  EXPECT_TRUE(Refused(TryAdmit("a", 10), reasons::kTenantInFlightLimit,
                      "the tenant has 2 requests in flight, the limit is 2", absl::Seconds(1)));
  Admit("b", 10);
  tickets_.clear();
  Admit("a", 10);
}

TEST_F(AdmissionLimitsTest, APlaceInFlightIsPromisedForWhenOneShouldEnd) {
  tenants_["a"].max_in_flight = 2;
  Admit("b", 10);
  tickets_[0].LeaveQueue();
  clock_.Advance(absl::Seconds(6));
  tickets_.clear();  // it took six seconds
  Admit("a", 10);
  Admit("a", 10);
  EXPECT_TRUE(Refused(TryAdmit("a", 10), reasons::kTenantInFlightLimit, "", absl::Seconds(3)));
}

TEST_F(AdmissionLimitsTest, TheServerHasALimitInFlightToo) {
  options_.max_in_flight = 1;
  Admit("a", 10);
  LeaveQueue(1);
  EXPECT_TRUE(Refused(TryAdmit("b", 10), reasons::kQueueFull,
                      "the server has 1 requests in flight, the limit is 1", absl::Seconds(1)));
}

TEST_F(AdmissionLimitsTest, QueuedTokensAreCountedUntilTheFirstStep) {
  tenants_["a"].max_queued_tokens = 100;
  Admit("a", 60);
  EXPECT_TRUE(Refused(TryAdmit("a", 41), reasons::kTenantQueuedTokens,
                      "with this prompt the tenant queues 101 tokens, the limit is 100",
                      absl::Seconds(1)));
  EXPECT_EQ(admission().in_flight(), 1);
  Admit("a", 40);
  Admit("b", 100);
  LeaveQueue(1);
  Admit("a", 60);
}

TEST_F(AdmissionLimitsTest, WhatIsCertainBeforeTokenizingIsShedBeforeIt) {
  tenants_["a"].max_queued_tokens = 100;
  Admit("a", 60);
  const auto refused = admission().Admit({.tenant = "a", .least_tokens = 41});
  EXPECT_TRUE(Refused(refused.status(), reasons::kTenantQueuedTokens, "", absl::Seconds(1)));
  auto ticket = admission().Admit({.tenant = "a", .least_tokens = 30});
  ASSERT_TRUE(IsOk(ticket));
  EXPECT_EQ(admission().queued_tokens(), 90);
  EXPECT_TRUE(Refused(ticket->Settle(41), reasons::kTenantQueuedTokens, "", absl::Seconds(1)));
  EXPECT_TRUE(IsOk(ticket->Settle(40))) << "its own tokens are not counted twice";
  EXPECT_EQ(admission().queued_tokens(), 100);
}

TEST_F(AdmissionLimitsTest, APromptAboveTheLimitComesInAlone) {
  options_.max_queued_tokens = 100;
  Admit("a", 500);
  EXPECT_TRUE(Refused(TryAdmit("b", 1), reasons::kQueueFull,
                      "with this prompt the queue holds 501 tokens, the limit is 100",
                      absl::Seconds(1)));
  LeaveQueue(1);
  Admit("b", 100);
}

TEST_F(AdmissionLimitsTest, TokensPerMinuteCountPromptsAndAnswers) {
  tenants_["a"].tokens_per_minute = 600;
  Admit("a", 400);
  tickets_[0].ReportGenerated(150);
  EXPECT_TRUE(Refused(TryAdmit("a", 100), reasons::kTenantTokensPerMinute,
                      "the tenant has used its 600 tokens per minute", absl::Seconds(5)));
  Admit("a", 50);
  Admit("b", 5000);
  clock_.Advance(absl::Seconds(5));
  EXPECT_FALSE(TryAdmit("a", 51).ok());
  Admit("a", 50);
}

TEST_F(AdmissionLimitsTest, ALongAnswerIsPaidOffBeforeTheNextRequest) {
  tenants_["a"].tokens_per_minute = 600;
  Admit("a", 100);
  tickets_[0].ReportGenerated(1700);
  tickets_.clear();
  const auto refused = admission().Admit({.tenant = "a"});
  EXPECT_TRUE(Refused(refused.status(), reasons::kTenantTokensPerMinute, "", absl::Seconds(120.1)));
  clock_.Advance(*ErrorRetryAfter(refused.status()));
  EXPECT_TRUE(IsOk(admission().Admit({.tenant = "a"}))) << "the estimate is kept";
}

TEST_F(AdmissionLimitsTest, ARefusalChargesNothing) {
  tenants_["a"].tokens_per_minute = 600;
  Admit("a", 400);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(TryAdmit("a", 300).ok());
  Admit("a", 200);
}

TEST_F(AdmissionLimitsTest, TheServerHasTokensPerMinuteToo) {
  options_.tokens_per_minute = 600;
  Admit("a", 600);
  EXPECT_TRUE(Refused(TryAdmit("b", 60), reasons::kTokensPerMinute,
                      "the server has used its 600 tokens per minute", absl::Milliseconds(100)));
}

TEST_F(AdmissionLimitsTest, ALimitFollowsTheDirectory) {
  tenants_["a"].max_in_flight = 1;
  Admit("a", 1);
  EXPECT_FALSE(TryAdmit("a", 1).ok());
  tenants_["a"].max_in_flight = 2;
  Admit("a", 1);
}

TEST_F(AdmissionLimitsTest, WhoWouldWaitTooLongIsRefused) {
  options_.max_queue_wait = absl::Seconds(2);
  LearnThePace();
  Admit("a", 2001);
  EXPECT_TRUE(Refused(TryAdmit("a", 1), reasons::kQueueWaitTooLong,
                      "the request would wait for about 2.001s, the limit is 2s",
                      absl::Milliseconds(50)));
  Admit("b", 1000);
}

TEST_F(AdmissionLimitsTest, RetryingAfterTheEstimateSucceedsAtTheSamePace) {
  options_.max_queue_wait = absl::Seconds(1);
  options_.fair_shares = false;
  LearnThePace();
  for (int i = 0; i < 11; ++i) Admit(std::to_string(i % 2), 100);
  EXPECT_TRUE(Refused(TryAdmit("a", 100), reasons::kQueueWaitTooLong, "", absl::Milliseconds(100)));
  LeaveQueue(1);
  Admit("a", 100);
}

TEST_F(AdmissionLimitsTest, ADeadlineThatTheQueueWouldOutlastIsRefusedAtOnce) {
  LearnThePace();
  Admit("a", 3000);
  EXPECT_TRUE(Refused(TryAdmit("a", 1, absl::Seconds(2.5)), reasons::kDeadlineTooShort,
                      "the request would wait for about 3s, its deadline is in 2.5s",
                      absl::Milliseconds(500)));
  EXPECT_TRUE(IsOk(TryAdmit("a", 1, absl::Seconds(3.5))));
}

TEST_F(AdmissionLimitsTest, BeforeThePaceIsKnownNobodyIsRefusedForIt) {
  options_.max_queue_wait = absl::Milliseconds(1);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(IsOk(TryAdmit("a", 1000, absl::Milliseconds(5))));
}

TEST_F(AdmissionLimitsTest, AnotherTenantsBacklogRefusesNobody) {
  options_.max_queue_wait = absl::Seconds(2);
  LearnThePace();
  Admit("flood", 1500);
  Admit("flood", 100'000);
  EXPECT_FALSE(TryAdmit("flood", 1).ok());
  EXPECT_TRUE(IsOk(TryAdmit("light", 900, absl::Milliseconds(10))));
  // Its own 900 tokens are ahead now, at half the pace.
  EXPECT_TRUE(Refused(TryAdmit("light", 1, absl::Seconds(1)), reasons::kDeadlineTooShort, "1.8s",
                      absl::Milliseconds(800)));
}

TEST_F(AdmissionLimitsTest, SharesFollowWeights) {
  tenants_["heavy"].weight = 3;
  LearnThePace();
  Admit("light", 500);
  Admit("heavy", 1500);
  EXPECT_TRUE(Refused(TryAdmit("heavy", 1, absl::Seconds(1)), reasons::kDeadlineTooShort,
                      "about 2s", absl::Seconds(1)));
  EXPECT_TRUE(Refused(TryAdmit("light", 1, absl::Seconds(1)), reasons::kDeadlineTooShort,
                      "about 2s", absl::Seconds(1)));
}

TEST_F(AdmissionLimitsTest, WhoWaitsForAnAdapterIsAheadOfNobody) {
  LearnThePace();
  Admit("a", 9000);
  tickets_[0].SetAside(true);
  tickets_[0].SetAside(true);
  EXPECT_TRUE(IsOk(TryAdmit("a", 10, absl::Seconds(1))));
  tickets_[0].SetAside(false);
  EXPECT_FALSE(TryAdmit("a", 10, absl::Seconds(1)).ok());
  tickets_[0].SetAside(true);
  tickets_[0].LeaveQueue();
  tickets_[0].SetAside(false);
  EXPECT_EQ(admission().queued_tokens(), 10);
}

TEST_F(AdmissionLimitsTest, ATicketThatMovedIsCountedOnce) {
  auto ticket = admission().Admit({.tenant = "a"});
  ASSERT_TRUE(IsOk(ticket->Settle(10)));
  AdmissionTicket moved(*std::move(ticket));
  EXPECT_EQ(admission().in_flight(), 1);
  moved.LeaveQueue();
  EXPECT_EQ(admission().queued(), 0);
  EXPECT_EQ(admission().queued_tokens(), 0);
}

TEST_F(AdmissionLimitsTest, AFloodOfTenantsLeavesNothingBehind) {
  for (int i = 0; i < 2000; ++i) {
    Admit(std::to_string(i), 10);
    tickets_.clear();
    ASSERT_EQ(admission().known_tenants(), 0);
  }
}

TEST_F(AdmissionLimitsTest, TheMetricOfWaitingTokensIsWhatIsQueued) {
  const MetricsRegistry registry;
  const Gauge gauge = registry.metrics()->waiting_tokens;
  AdmissionController admission(options_, &tenants_, &clock_, gauge);
  {
    auto first = admission.Admit({.tenant = "a", .least_tokens = 5});
    ASSERT_TRUE(IsOk(first));
    EXPECT_EQ(gauge.Value(), 5);
    ASSERT_TRUE(IsOk(first->Settle(30)));
    auto second = admission.Admit({.tenant = "b"});
    ASSERT_TRUE(IsOk(second));
    ASSERT_TRUE(IsOk(second->Settle(12)));
    EXPECT_EQ(gauge.Value(), 42);
    EXPECT_EQ(admission.queued_tokens(), 42);
    first->LeaveQueue();
    EXPECT_EQ(gauge.Value(), 12);
  }
  EXPECT_EQ(gauge.Value(), 0);
}

TEST_F(AdmissionLimitsTest, TheLoadOfATenantIsItsOwn) {
  Admit("a", 10);
  Admit("a", 20);
  Admit("b", 40);
  LeaveQueue(1);
  EXPECT_EQ(admission().LoadOf("a"),
            (TenantLoad{.in_flight = 2, .queued = 1, .queued_tokens = 20}));
  EXPECT_EQ(admission().LoadOf("b"),
            (TenantLoad{.in_flight = 1, .queued = 1, .queued_tokens = 40}));
  EXPECT_EQ(admission().LoadOf("c"), TenantLoad());
  EXPECT_EQ(admission().Loads(),
            (std::map<std::string, TenantLoad>{{"a", admission().LoadOf("a")},
                                               {"b", admission().LoadOf("b")}}));
}

}  // namespace
}  // namespace lamella
