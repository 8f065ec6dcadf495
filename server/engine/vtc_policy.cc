#include "server/engine/vtc_policy.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace lamella {

VtcPolicy::VtcPolicy(VtcOptions options, const TenantDirectory* directory, OnServed on_served)
    : options_(options), directory_(directory), on_served_(std::move(on_served)) {}

int32_t VtcPolicy::TenantIndex(std::string_view tenant) {
  const auto [entry, is_new] = numbers_.try_emplace(std::string(tenant), 0);
  if (!is_new) return entry->second;
  if (free_.empty()) {
    free_.push_back(static_cast<int32_t>(tenants_.size()));
    tenants_.emplace_back();
    free_.reserve(tenants_.size());  // so that OnEnd allocates nothing
  }
  const int32_t number = entry->second = free_.back();
  free_.pop_back();
  at(number) = Tenant{.name = entry->first};
  ++idle_;
  return number;
}

void VtcPolicy::OnArrive(int32_t tenant) {
  Tenant& t = at(tenant);
  if (t.requests++ == 0) {
    --idle_;
    t.weight = directory_ == nullptr ? 1.0 : directory_->LimitsOf(t.name).weight;
    active_weight_ += t.weight;
  }
  BeginWaiting(tenant);
}

void VtcPolicy::OnEnd(int32_t tenant) {
  Tenant& t = at(tenant);
  --running_;
  if (--t.requests > 0) return;
  active_weight_ -= t.weight;
  if (static_cast<size_t>(++idle_) == numbers_.size())
    active_weight_ = 0;  // and no rounding is left
  if (idle_ > options_.max_idle_tenants) ForgetIdle();
}

void VtcPolicy::OnLeaveQueue(int32_t tenant) {
  Tenant& t = at(tenant);
  ++running_;
  if (--t.waiting > 0) return;
  last_waited_ = tenant;
  last_counter_ = t.counter;
}

void VtcPolicy::OnRejoinQueue(int32_t tenant) {
  --running_;
  BeginWaiting(tenant);
}

void VtcPolicy::BeginWaiting(int32_t tenant) {
  Tenant& t = at(tenant);
  if (t.waiting == 0) {
    std::optional<double> smallest;
    for (const Tenant& other : tenants_) {
      if (other.waiting == 0) continue;
      smallest = std::min(smallest.value_or(other.counter), other.counter);
    }
    t.counter = std::max(t.counter, smallest.value_or(last_counter_));
    t.waits_since = ++waits_;
  }
  ++t.waiting;
}

void VtcPolicy::OnService(int32_t tenant, int64_t prompt_tokens, int64_t generated_tokens) {
  Charge(tenant, static_cast<double>(prompt_tokens) * options_.prompt_token_cost +
                     static_cast<double>(generated_tokens) * options_.generated_token_cost);
}

void VtcPolicy::OnLoad(int32_t tenant, int64_t bytes) {
  Charge(tenant, static_cast<double>(bytes) * options_.loaded_byte_cost);
}

void VtcPolicy::Charge(int32_t tenant, double cost) {
  Tenant& t = at(tenant);
  t.counter += cost / t.weight;
  t.unreported += cost;
  if (tenant == last_waited_) last_counter_ = t.counter;
}

void VtcPolicy::Report() {
  for (Tenant& tenant : tenants_) ReportOne(&tenant);
}

void VtcPolicy::ReportOne(Tenant* tenant) {
  if (on_served_ != nullptr && tenant->unreported > 0) on_served_(tenant->name, tenant->unreported);
  tenant->unreported = 0;
}

bool VtcPolicy::Before(const QueueKey& a, const QueueKey& b) const {
  if (a.tenant != b.tenant) {
    const Tenant& of_a = at(a.tenant);
    const Tenant& of_b = at(b.tenant);
    if (of_a.counter != of_b.counter) return of_a.counter < of_b.counter;
    const double runs_a = of_a.running() / of_a.weight;
    const double runs_b = of_b.running() / of_b.weight;
    if (runs_a != runs_b) return runs_a < runs_b;
    return of_a.waits_since < of_b.waits_since;
  }
  if (a.priority != b.priority) return a.priority > b.priority;
  return a.arrival < b.arrival;
}

bool VtcPolicy::MayReplace(const QueueKey& waiting, const QueueKey& running) const {
  if (waiting.tenant == running.tenant) return false;
  const Tenant& poor = at(waiting.tenant);
  const Tenant& rich = at(running.tenant);
  if (poor.counter >= rich.counter) return false;
  const auto all = static_cast<double>(running_);
  if (poor.running() * active_weight_ >= all * poor.weight) return false;
  if (rich.running() * active_weight_ <= all * rich.weight) return false;
  return (poor.running() + 1) * rich.weight <= (rich.running() - 1) * poor.weight;
}

void VtcPolicy::ForgetIdle() {
  int32_t victim = -1;
  for (const auto& [name, number] : numbers_) {
    const Tenant& t = at(number);
    if (t.requests > 0) continue;
    if (victim < 0 || t.counter < at(victim).counter) victim = number;
  }
  if (victim == last_waited_) last_waited_ = -1;
  ReportOne(&at(victim));
  numbers_.erase(at(victim).name);
  at(victim) = Tenant();
  free_.push_back(victim);
  --idle_;
}

}  // namespace lamella
