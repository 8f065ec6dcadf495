// Fair shares of the engine by tenant: virtual token counters (Sheng et al., Fairness in Serving
// Large Language Models, arXiv 2401.00588), with weights and with the bytes of adapter loads charged
// too. A tenant's counter is what it cost so far, divided by its weight; the smallest
// is served next. Two tenants that always have something waiting are served alike, up to twice the
// largest of one prompt's cost and a full batch's (ibid., section 4).
//
// Who has nothing waiting earns nothing: when a tenant begins to wait, its counter is lifted to the
// smallest of those who wait already, or to that of the last who waited. Inside a tenant the higher
// priority goes first, then who came first: a tenant may starve its own low priority.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/core/tenant_limits.h"
#include "server/engine/scheduling_policy.h"

namespace lamella {

struct VtcOptions {
  // Costs, of which one prompt token is the unit.
  double prompt_token_cost = 1.0;
  double generated_token_cost = 2.0;
  double loaded_byte_cost = 1.0 / (64 << 10);  // an adapter of 10 MiB is 160 prompt tokens
  // Tenants without a request whose counters are remembered. Beyond it the smallest counter is
  // forgotten: its tenant loses the least when it is lifted on return.
  int32_t max_idle_tenants = 1024;
};

class VtcPolicy final : public SchedulingPolicy {
 public:
  // Costs of a tenant, in prompt tokens, before its weight; see Report.
  using OnServed = std::function<void(std::string_view tenant, double cost)>;

  // `directory` is borrowed, asked for a tenant's weight when it becomes active, and may be null:
  // all weights are 1.
  VtcPolicy(VtcOptions options, const TenantDirectory* directory, OnServed on_served = nullptr);

  int32_t TenantIndex(std::string_view tenant) override;
  void OnArrive(int32_t tenant) override;
  void OnEnd(int32_t tenant) override;
  void OnLeaveQueue(int32_t tenant) override;
  void OnRejoinQueue(int32_t tenant) override;
  void OnService(int32_t tenant, int64_t prompt_tokens, int64_t generated_tokens) override;
  void OnLoad(int32_t tenant, int64_t bytes) override;
  void Report() override;

  // Of two tenants with equal counters, as after a lift, the one that runs less by its weight goes
  // first, then the one that has waited longer, with all it has: comparing single requests there
  // would contradict the order inside the tenants.
  bool Before(const QueueKey& a, const QueueKey& b) const override;

  // If the waiting tenant's counter is the smaller one and it runs fewer requests than its weighted
  // share of all that run, and the other runs more than its own share, and both still compare so
  // that the exchange is not undone at once. Never inside a tenant.
  bool MayReplace(const QueueKey& waiting, const QueueKey& running) const override;

  double counter(int32_t tenant) const { return at(tenant).counter; }
  int32_t known_tenants() const { return static_cast<int32_t>(numbers_.size()); }

 private:
  struct Tenant {
    std::string name;
    double counter = 0;
    double unreported = 0;  // cost
    double weight = 1;
    int32_t requests = 0;      // taken in and not ended; 0: idle
    int32_t waiting = 0;       // of these
    uint64_t waits_since = 0;  // order in which tenants began to wait
    int32_t running() const { return requests - waiting; }
  };

  void BeginWaiting(int32_t tenant);
  void Charge(int32_t tenant, double cost);
  void ForgetIdle();
  void ReportOne(Tenant* tenant);
  Tenant& at(int32_t tenant) { return tenants_[static_cast<size_t>(tenant)]; }
  const Tenant& at(int32_t tenant) const { return tenants_[static_cast<size_t>(tenant)]; }

  const VtcOptions options_;
  const TenantDirectory* const directory_;
  const OnServed on_served_;
  std::unordered_map<std::string, int32_t> numbers_;
  std::vector<Tenant> tenants_;  // by number; those of no tenant have an empty place in free_
  std::vector<int32_t> free_;    // numbers of forgotten tenants
  int32_t idle_ = 0;             // known and without a request
  int64_t running_ = 0;          // requests of all tenants
  double active_weight_ = 0;     // summed over active tenants
  uint64_t waits_ = 0;           // how often a tenant began to wait
  // The last tenant that stopped waiting, -1 once it is forgotten, and its counter.
  int32_t last_waited_ = -1;
  double last_counter_ = 0;
};

}  // namespace lamella
