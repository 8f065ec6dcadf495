#include "server/engine/admission.h"

#include <optional>
#include <vector>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

TEST(AdmissionControllerTest, AQueuedPlaceIsFreeOnceItsRequestRuns) {
  FakeClock clock;
  AdmissionController admission({.max_queued = 1}, nullptr, &clock);
  std::optional<AdmissionTicket> first;
  {
    auto ticket = admission.Admit({});
    ASSERT_TRUE(ticket.ok());
    first.emplace(*std::move(ticket));
  }
  EXPECT_FALSE(admission.Admit({}).ok());
  first->LeaveQueue();
  first->LeaveQueue();
  EXPECT_EQ(admission.queued(), 0);
  EXPECT_EQ(admission.in_flight(), 1);
  EXPECT_TRUE(admission.Admit({}).ok());
  first.reset();
  EXPECT_EQ(admission.in_flight(), 0);
}

TEST(AdmissionControllerTest, TheEstimateFollowsTheQueue) {
  FakeClock clock;
  AdmissionController admission({.max_queued = 4}, nullptr, &clock);
  std::vector<AdmissionTicket> tickets;
  for (int i = 0; i < 4; ++i) tickets.push_back(*admission.Admit({}));
  for (int i = 0; i < 4; ++i) {
    clock.Advance(absl::Milliseconds(300));
    tickets[static_cast<size_t>(i)].LeaveQueue();
  }
  clock.Advance(absl::Hours(1));  // an idle hour says nothing about the queue's pace
  for (int i = 0; i < 4; ++i) tickets.push_back(*admission.Admit({}));
  EXPECT_EQ(ErrorRetryAfter(admission.Admit({}).status()), absl::Milliseconds(300));
  clock.Advance(absl::Seconds(5));  // a queue that stands still does
  EXPECT_EQ(ErrorRetryAfter(admission.Admit({}).status()), absl::Seconds(5));
}

TEST(AdmissionControllerTest, APassedDeadlineIsRefused) {
  FakeClock clock;
  AdmissionController admission({.max_queued = 4}, nullptr, &clock);
  EXPECT_TRUE(testing::IsError(admission.Admit({.deadline = clock.Now()}),
                               absl::StatusCode::kDeadlineExceeded, reasons::kDeadlineExceeded));
}

TEST(AdmissionOptionsTest, NamesWhatIsOutOfRange) {
  EXPECT_TRUE(testing::IsOk(AdmissionOptions{}.Validate()));
  const auto refuses = [](AdmissionOptions options, const char* field, const char* message) {
    return testing::IsInvalid(options.Validate(), reasons::kOutOfRange, field, message);
  };
  EXPECT_TRUE(refuses({.max_queued = 0}, "max_queued", "max_queued must be at least 1, got 0"));
  EXPECT_TRUE(refuses({.max_in_flight = -1}, "max_in_flight", "got -1"));
  EXPECT_TRUE(refuses({.max_queued_tokens = -1}, "max_queued_tokens", "got -1"));
  EXPECT_TRUE(refuses({.tokens_per_minute = -1}, "tokens_per_minute", "got -1"));
  EXPECT_TRUE(refuses({.max_queue_wait = absl::ZeroDuration()}, "max_queue_wait",
                      "max_queue_wait must be positive, got 0"));
}

TEST(AdmissionControllerTest, DrainingRefusesUntilItsDeadline) {
  FakeClock clock;
  AdmissionController admission({.max_queued = 4}, nullptr, &clock);
  EXPECT_EQ(admission.drain_deadline(), absl::InfiniteFuture());
  admission.BeginDrain(clock.Now() + absl::Seconds(9));
  admission.BeginDrain(clock.Now() + absl::Seconds(20));
  EXPECT_EQ(admission.drain_deadline(), clock.Now() + absl::Seconds(9));
  const absl::Status status = admission.Admit({}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrorReason(status), "DRAINING");
  EXPECT_EQ(ErrorRetryAfter(status), absl::Seconds(9));
  admission.WaitUntilEmpty();
}

TEST(AdmissionTest, AFullQueueKeepsPlacesForTenantsBelowTheirShare) {
  FakeClock clock;
  AdmissionController admission({.max_queued = 8}, nullptr, &clock);
  std::vector<AdmissionTicket> tickets;
  for (int i = 0; i < 8; ++i) tickets.push_back(*admission.Admit({.tenant = "heavy"}));
  EXPECT_EQ(ErrorReason(admission.Admit({.tenant = "heavy"}).status()), "QUEUE_FULL");
  for (const char* light : {"a", "b"}) {
    absl::StatusOr<AdmissionTicket> ticket = admission.Admit({.tenant = light});
    ASSERT_EQ(ticket.status(), absl::OkStatus()) << light;
    tickets.push_back(*std::move(ticket));
  }
  // A quarter more, no more.
  EXPECT_EQ(ErrorReason(admission.Admit({.tenant = "c"}).status()), "QUEUE_FULL");
}

TEST(AdmissionTest, WithoutFairSharesAFullQueueIsFull) {
  FakeClock clock;
  AdmissionController admission({.max_queued = 1, .fair_shares = false}, nullptr, &clock);
  const absl::StatusOr<AdmissionTicket> ticket = admission.Admit({.tenant = "heavy"});
  EXPECT_EQ(ErrorReason(admission.Admit({.tenant = "a"}).status()), "QUEUE_FULL");
}

}  // namespace
}  // namespace lamella
