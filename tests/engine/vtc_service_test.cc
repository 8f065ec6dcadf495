// What the policy promises of service, measured on a simulated server.
#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "server/engine/vtc_policy.h"
#include "tests/testing/fake_tenants.h"

namespace lamella {
namespace {

// A server that decodes one token of each running request in a step, and admits in the policy's
// order while slots and tokens last. Every tenant always has something waiting unless it is told to
// stop.
class SimulatedServer {
 public:
  struct Client {
    std::string tenant;
    int32_t prompt_tokens = 0;  // of each request, at most
    int32_t answer_tokens = 0;
    double weight = 1;
    int32_t backlog = 4;
    double service = 0;  // cost of what it got, by weight
    int64_t finished = 0;
    int64_t overtaken = 0;  // admissions of others while it waited
  };

  SimulatedServer(std::vector<Client> clients, uint32_t seed)
      : clients_(std::move(clients)), random_(seed) {
    for (const Client& client : clients_) tenants_[client.tenant].weight = client.weight;
  }

  void Step() {
    Refill();
    for (size_t next = First(); next < waiting_.size() && Fits(waiting_[next]); next = First()) {
      Item item = waiting_[next];
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(next));
      policy_.OnLeaveQueue(item.key.tenant);
      policy_.OnService(item.key.tenant, item.prompt, 0);
      clients_[item.client].service += item.prompt * kPromptCost / clients_[item.client].weight;
      tokens_ += item.prompt + item.answer;
      for (size_t i = 0; i < clients_.size(); ++i) {
        if (i != item.client && Waiting(i) > 0) ++clients_[i].overtaken;
      }
      running_.push_back(item);
      Refill();  // who always has something waiting is never lifted
    }
    for (Item& item : running_) {
      --item.left;
      policy_.OnService(item.key.tenant, 0, 1);
      clients_[item.client].service += kGeneratedCost / clients_[item.client].weight;
    }
    std::erase_if(running_, [this](const Item& item) {
      if (item.left > 0) return false;
      tokens_ -= item.prompt + item.answer;
      policy_.OnEnd(item.key.tenant);
      ++clients_[item.client].finished;
      return true;
    });
  }

  void Add(size_t client) {
    Item item;
    item.key.tenant = policy_.TenantIndex(clients_[client].tenant);
    item.key.arrival = ++arrivals_;
    policy_.OnArrive(item.key.tenant);
    item.client = client;
    item.prompt = Draw(clients_[client].prompt_tokens);
    item.answer = item.left = Draw(clients_[client].answer_tokens);
    waiting_.push_back(item);
  }

  // The largest difference between what two clients got in any interval: the range of their
  // difference over time.
  double ServiceGapOver(int steps) {
    double least = 0;
    double most = 0;
    const double start = clients_[0].service - clients_[1].service;
    for (int i = 0; i < steps; ++i) {
      Step();
      const double now = clients_[0].service - clients_[1].service - start;
      least = std::min(least, now);
      most = std::max(most, now);
    }
    return most - least;
  }
  double JainIndex() const {
    double sum = 0;
    double squares = 0;
    for (const Client& client : clients_) {
      sum += client.service;
      squares += client.service * client.service;
    }
    return sum * sum / (static_cast<double>(clients_.size()) * squares);
  }
  // 2 max(w_in L_input, w_out M), section 4 of the paper.
  double Bound() const {
    double longest = 0;
    for (const Client& c : clients_) longest = std::max(longest, kPromptCost * c.prompt_tokens);
    return 2 * std::max(longest, kGeneratedCost * kMostTokens);
  }

  std::vector<Client>& clients() { return clients_; }
  static constexpr int32_t kMostTokens = 2000;  // of running requests
  static constexpr double kPromptCost = 1;
  static constexpr double kGeneratedCost = 2;

 private:
  struct Item {
    QueueKey key;
    size_t client = 0;
    int32_t prompt = 0;
    int32_t answer = 0;
    int32_t left = 0;
  };

  int32_t Draw(int32_t most) {
    return 1 + static_cast<int32_t>(random_() % static_cast<uint32_t>(most));
  }
  void Refill() {
    for (size_t i = 0; i < clients_.size(); ++i) {
      for (auto n = Waiting(i); n < clients_[i].backlog; ++n) Add(i);
    }
  }
  int64_t Waiting(size_t client) const {
    return std::ranges::count(waiting_, client, &Item::client);
  }
  size_t First() const {
    const auto first = std::ranges::min_element(
        waiting_, [this](const Item& a, const Item& b) { return policy_.Before(a.key, b.key); });
    return static_cast<size_t>(first - waiting_.begin());
  }
  bool Fits(const Item& item) const {
    return running_.size() < 16 && tokens_ + item.prompt + item.answer <= kMostTokens;
  }

  std::vector<Client> clients_;
  std::mt19937 random_;
  FakeTenants tenants_;
  VtcPolicy policy_{{.prompt_token_cost = kPromptCost, .generated_token_cost = kGeneratedCost},
                    &tenants_};
  std::vector<Item> waiting_;
  std::vector<Item> running_;
  int64_t tokens_ = 0;
  uint64_t arrivals_ = 0;
};

class VtcServiceTest : public testing::TestWithParam<uint32_t> {};

TEST_P(VtcServiceTest, TwoBackloggedTenantsStayWithinTheBoundAtAllTimes) {
  SimulatedServer server({{"short", 40, 20}, {"long", 600, 300}}, GetParam());
  EXPECT_LE(server.ServiceGapOver(20000), server.Bound());
  EXPECT_GE(server.JainIndex(), 0.98);
}

TEST_P(VtcServiceTest, WeightsDivideTheService) {
  SimulatedServer server({{"one", 200, 50, 1}, {"three", 200, 50, 3}}, GetParam());
  EXPECT_LE(server.ServiceGapOver(20000), server.Bound()) << "of service divided by weight";
  const auto& clients = server.clients();
  EXPECT_NEAR(clients[1].service * 3 / clients[0].service, 3.0, 0.1);
}

TEST_P(VtcServiceTest, AFloodTakesNothingFromASmallBacklog) {
  SimulatedServer server({{"small", 50, 20, 1, 2}, {"flood", 50, 20, 1, 400}}, GetParam());
  EXPECT_LE(server.ServiceGapOver(3000), server.Bound());
}

TEST_P(VtcServiceTest, ALightTenantIsNextWheneverItAsks) {
  SimulatedServer server({{"light", 50, 20, 1, 0}, {"flood", 50, 20, 1, 400}}, GetParam());
  for (int i = 0; i < 50; ++i) {
    for (int step = 0; step < 60; ++step) server.Step();
    server.Add(0);
    server.Step();
  }
  EXPECT_GE(server.clients()[0].finished, 49);
  EXPECT_EQ(server.clients()[0].overtaken, 0);
  EXPECT_GT(server.clients()[1].finished, 1000);
}

TEST_P(VtcServiceTest, ATenantThatPausedGetsItsShareAndNoMore) {
  SimulatedServer server({{"pauses", 100, 50}, {"steady", 100, 50}}, GetParam());
  (void)server.ServiceGapOver(2000);
  server.clients()[0].backlog = 0;
  (void)server.ServiceGapOver(5000);
  server.clients()[0].backlog = 4;
  server.Step();
  EXPECT_LE(server.ServiceGapOver(5000), server.Bound()) << "nothing was saved up";
}

INSTANTIATE_TEST_SUITE_P(Seeds, VtcServiceTest, testing::Range(1u, 9u));

}  // namespace
}  // namespace lamella
