#include "server/engine/vtc_policy.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/fake_tenants.h"

namespace lamella {
namespace {

// Requests as numbers, driven by hand.
class VtcPolicyTest : public testing::Test {
 protected:
  QueueKey Arrive(const std::string& tenant, Priority priority = Priority::kNormal) {
    const int32_t number = policy_.TenantIndex(tenant);
    policy_.OnArrive(number);
    return {number, priority, ++arrivals_};
  }
  QueueKey Run(const std::string& tenant, int64_t prompt_tokens = 0) {
    const QueueKey key = Arrive(tenant);
    policy_.OnLeaveQueue(key.tenant);
    policy_.OnService(key.tenant, prompt_tokens, 0);
    return key;
  }
  // One request that comes, is served and is gone.
  void Serve(const std::string& tenant, int64_t prompt_tokens) {
    policy_.OnEnd(Run(tenant, prompt_tokens).tenant);
  }
  // How many running requests of another tenant a tenant with much to do replaces.
  int32_t Replacements(const std::string& tenant, const QueueKey& running) {
    QueueKey next;
    for (int i = 0; i < 8; ++i) next = Arrive(tenant);
    int32_t replaced = 0;
    for (; policy_.MayReplace(next, running); ++replaced) {
      policy_.OnRejoinQueue(running.tenant);
      policy_.OnLeaveQueue(next.tenant);
      if (replaced > 8) break;
    }
    return replaced;
  }
  double Counter(const std::string& tenant) { return policy_.counter(policy_.TenantIndex(tenant)); }

  FakeTenants tenants_;
  VtcPolicy policy_{{.generated_token_cost = 2, .loaded_byte_cost = 0.5, .max_idle_tenants = 3},
                    &tenants_};
  uint64_t arrivals_ = 0;
};

TEST_F(VtcPolicyTest, PromptsAnswersAndLoadsAreChargedByWeight) {
  tenants_["heavy"].weight = 4;
  const QueueKey light = Arrive("light");
  const QueueKey heavy = Arrive("heavy");
  for (const int32_t tenant : {light.tenant, heavy.tenant}) {
    policy_.OnService(tenant, 10, 3);
    policy_.OnLoad(tenant, 8);
  }
  EXPECT_EQ(Counter("light"), 20);
  EXPECT_EQ(Counter("heavy"), 5);
}

TEST_F(VtcPolicyTest, TheSmallerCounterGoesFirst) {
  const QueueKey first = Arrive("a");
  const QueueKey second = Arrive("b");
  policy_.OnService(first.tenant, 1, 0);
  EXPECT_TRUE(policy_.Before(second, first));
}

TEST_F(VtcPolicyTest, OfEqualCountersTheOneThatRunsLessGoesFirst) {
  tenants_["b"].weight = 3;
  const QueueKey a = Arrive("a");
  const QueueKey b = Arrive("b");
  EXPECT_TRUE(policy_.Before(a, b)) << "it has waited longer";
  Run("a");
  EXPECT_TRUE(policy_.Before(b, a));
  Run("b");
  Run("b");
  EXPECT_TRUE(policy_.Before(b, a)) << "two of its three to one";
  Run("b");
  EXPECT_TRUE(policy_.Before(a, b));
}

TEST_F(VtcPolicyTest, InsideATenantPriorityThenArrivalDecides) {
  const QueueKey low = Arrive("a", Priority::kLow);
  const QueueKey normal = Arrive("a");
  const QueueKey high = Arrive("a", Priority::kHigh);
  const QueueKey later = Arrive("a", Priority::kHigh);
  EXPECT_TRUE(policy_.Before(high, later));
  EXPECT_TRUE(policy_.Before(later, normal));
  EXPECT_TRUE(policy_.Before(normal, low));
  EXPECT_FALSE(policy_.Before(low, low));
}

TEST_F(VtcPolicyTest, PrioritySaysNothingToOtherTenants) {
  const QueueKey high = Arrive("a", Priority::kHigh);
  const QueueKey low = Arrive("b", Priority::kLow);
  policy_.OnService(high.tenant, 1, 0);
  EXPECT_TRUE(policy_.Before(low, high));
}

TEST_F(VtcPolicyTest, TheOrderIsStrictAndWeakWithEqualCountersAndAnyPriorities) {
  // Comparing arrivals across tenants would make a circle of these: low < other < high < low.
  std::vector<QueueKey> keys = {Arrive("a", Priority::kLow), Arrive("b"),
                                Arrive("a", Priority::kHigh)};
  std::mt19937 random(5);  // NOLINT: the same keys every time
  for (int i = 0; i < 12; ++i) {
    keys.push_back(Arrive(std::string(1, static_cast<char>('a' + random() % 4)),
                          static_cast<Priority>(random() % 3)));
  }
  for (const QueueKey& x : keys) {
    for (const QueueKey& y : keys) {
      EXPECT_EQ(policy_.Before(x, y) || policy_.Before(y, x), x.arrival != y.arrival);
      EXPECT_FALSE(policy_.Before(x, y) && policy_.Before(y, x));
      for (const QueueKey& z : keys) {
        if (policy_.Before(x, y) && policy_.Before(y, z)) {
          EXPECT_TRUE(policy_.Before(x, z));
        }
      }
    }
  }
}

TEST_F(VtcPolicyTest, AReturningTenantIsLiftedToTheSmallestThatWaits) {
  Serve("idle", 5);
  const QueueKey busy = Arrive("busy");
  const QueueKey busier = Arrive("busier");
  policy_.OnService(busy.tenant, 100, 0);
  policy_.OnService(busier.tenant, 300, 0);
  Arrive("idle");
  EXPECT_EQ(Counter("idle"), Counter("busy"));
}

TEST_F(VtcPolicyTest, ATenantThatOnlyRunsSavesNothingUp) {
  const QueueKey small = Run("small");
  const QueueKey busy = Arrive("busy");
  policy_.OnService(busy.tenant, 1000, 0);
  policy_.OnService(small.tenant, 0, 1);
  Arrive("small");
  EXPECT_EQ(Counter("small"), 1000) << "it was active, but waited for nothing";
}

TEST_F(VtcPolicyTest, WithNobodyWaitingTheLastWhoWaitedCounts) {
  const QueueKey busy = Run("busy", 700);
  Arrive("new");
  EXPECT_EQ(Counter("new"), 700);
  policy_.OnService(busy.tenant, 0, 50);
  EXPECT_EQ(Counter("busy"), 800);
}

TEST_F(VtcPolicyTest, ADebtIsKept) {
  const QueueKey steady = Arrive("steady");
  Serve("debtor", 900);
  const QueueKey back = Arrive("debtor");
  EXPECT_EQ(Counter("debtor"), 900);
  EXPECT_TRUE(policy_.Before(steady, back));
}

TEST_F(VtcPolicyTest, AWeightIsAskedForWhenATenantBecomesActive) {
  const QueueKey first = Arrive("a");
  tenants_["a"].weight = 2;
  policy_.OnService(first.tenant, 10, 0);
  EXPECT_EQ(Counter("a"), 10);
  policy_.OnLeaveQueue(first.tenant);
  policy_.OnEnd(first.tenant);
  const QueueKey second = Arrive("a");
  policy_.OnService(second.tenant, 10, 0);
  EXPECT_EQ(Counter("a"), 15);
}

TEST_F(VtcPolicyTest, IdleTenantsAreForgottenAtABoundSmallestCounterFirst) {
  Arrive("steady");  // nobody is lifted above its counter, which stays 0
  Serve("d", 400);
  for (const char* tenant : {"a", "b", "c"}) Serve(tenant, 100);
  EXPECT_EQ(Counter("d"), 400);
  for (int i = 0; i < 1000; ++i) Serve("flood " + std::to_string(i), 0);
  EXPECT_EQ(policy_.known_tenants(), 4);
  EXPECT_EQ(Counter("d"), 400);
  const QueueKey active = Arrive("active");
  for (int i = 0; i < 1000; ++i) Serve("flood " + std::to_string(i), 0);
  EXPECT_EQ(policy_.known_tenants(), 5);
  EXPECT_EQ(policy_.TenantIndex("active"), active.tenant);
}

TEST_F(VtcPolicyTest, APoorTenantReplacesOneThatRunsMoreThanItsShare) {
  std::vector<QueueKey> rich;
  for (int i = 0; i < 4; ++i) rich.push_back(Run("rich", 10));
  const QueueKey waiting = Arrive("poor");
  EXPECT_FALSE(policy_.MayReplace(waiting, rich[0])) << "lifted: not poorer yet";
  policy_.OnService(rich[0].tenant, 0, 1);
  EXPECT_TRUE(policy_.MayReplace(waiting, rich[0]));
  EXPECT_FALSE(policy_.MayReplace(rich[0], waiting));

  EXPECT_EQ(Replacements("poor", rich[0]), 2) << "both run two: neither replaces the other";
}

TEST_F(VtcPolicyTest, SharesFollowWeights) {
  tenants_["heavy"].weight = 3;
  QueueKey light;
  for (int i = 0; i < 4; ++i) light = Run("light", 10);
  Arrive("heavy");
  policy_.OnService(light.tenant, 0, 1);
  EXPECT_EQ(Replacements("heavy", light), 3);
}

TEST_F(VtcPolicyTest, AShareBelowOneRequestIsStillAShare) {
  std::vector<QueueKey> rich;
  for (int i = 0; i < 3; ++i) rich.push_back(Run("rich"));
  std::vector<QueueKey> waiting;
  for (int i = 0; i < 9; ++i) waiting.push_back(Arrive("poor " + std::to_string(i)));
  policy_.OnService(rich[0].tenant, 0, 1);
  EXPECT_TRUE(policy_.MayReplace(waiting[0], rich[0]));
}

TEST_F(VtcPolicyTest, ATenantNeverReplacesItself) {
  const QueueKey running = Run("a", 10);
  const QueueKey second = Run("a", 10);
  const QueueKey waiting = Arrive("a", Priority::kHigh);
  EXPECT_FALSE(policy_.MayReplace(waiting, running));
  EXPECT_FALSE(policy_.MayReplace(waiting, second));
}

}  // namespace
}  // namespace lamella
