// Many callers, one loop that takes requests over and ends them: counts stay within their limits at
// all times and come back to nothing.
#include <atomic>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "gtest/gtest.h"
#include "server/engine/admission.h"
#include "tests/testing/fake_tenants.h"

namespace lamella {
namespace {

TEST(AdmissionThreadTest, CountsStayWithinTheirLimitsAndComeBackToNothing) {
  constexpr int kCallers = 4;
  constexpr int kRequests = 3000;  // of each
  FakeTenants tenants;
  tenants["0"].max_in_flight = 3;
  tenants["1"].max_queued_tokens = 200;
  tenants["2"].tokens_per_minute = 100'000;
  const RealClock clock;
  AdmissionController admission({.max_queued = 8, .max_in_flight = 12, .max_queued_tokens = 400},
                                &tenants, &clock);
  Mutex mutex;
  std::deque<AdmissionTicket> handed_over;
  std::atomic<int> callers{kCallers};
  std::atomic<int> accepted{0};
  std::atomic<int> refused{0};

  std::vector<std::thread> threads;
  for (int caller = 0; caller < kCallers; ++caller) {
    threads.emplace_back([&, caller] {
      std::mt19937 random(static_cast<uint32_t>(caller));
      for (int i = 0; i < kRequests; ++i) {
        const std::string tenant = std::to_string(random() % 4);
        auto ticket = admission.Admit({.tenant = tenant, .least_tokens = 1});
        if (!ticket.ok() || !ticket->Settle(static_cast<int64_t>(random() % 100)).ok()) {
          ++refused;
          std::this_thread::yield();
          continue;
        }
        ++accepted;
        EXPECT_LE(admission.in_flight(), 12);
        EXPECT_LE(admission.queued(), 10);
        MutexLock lock(&mutex);
        handed_over.push_back(*std::move(ticket));
      }
      --callers;
    });
  }
  std::thread loop([&] {
    std::deque<AdmissionTicket> running;
    std::mt19937 random(99);  // NOLINT: the same walk every time
    while (callers > 0 || !running.empty()) {
      {
        MutexLock lock(&mutex);
        while (!handed_over.empty()) {
          running.push_back(std::move(handed_over.front()));
          handed_over.pop_front();
        }
      }
      for (AdmissionTicket& ticket : running) {
        if (random() % 4 == 0) ticket.SetAside(random() % 2 == 0);
        if (random() % 2 == 0) ticket.LeaveQueue();
        ticket.ReportGenerated(1);
      }
      if (running.empty()) {
        std::this_thread::yield();
      } else {
        running.pop_front();
      }
    }
  });
  for (std::thread& thread : threads) thread.join();
  loop.join();
  handed_over.clear();

  admission.BeginDrain(clock.Now());
  admission.WaitUntilEmpty();
  EXPECT_EQ(accepted + refused, kCallers * kRequests);
  EXPECT_GT(accepted, 100);
  EXPECT_EQ(admission.queued(), 0);
  EXPECT_EQ(admission.queued_tokens(), 0);
  EXPECT_LE(admission.known_tenants(), 1) << "the one whose bucket is not full";
}

}  // namespace
}  // namespace lamella
