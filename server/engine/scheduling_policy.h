// Who is served first among those that wait. A policy orders and counts; it owns no request, reserves
// nothing and never decides how many fit. Owned by the scheduler; the loop's thread alone.
#pragma once

#include <cstdint>
#include <string_view>

#include "server/core/request.h"

namespace lamella {

// What a policy knows of a request.
struct QueueKey {
  int32_t tenant = 0;  // as TenantIndex answered
  Priority priority = Priority::kNormal;
  uint64_t arrival = 0;  // order of arrival, unique
};

class SchedulingPolicy {
 public:
  virtual ~SchedulingPolicy() = default;

  // The number of a tenant, the same for ever. May allocate.
  virtual int32_t TenantIndex(std::string_view tenant) = 0;

  // A request of `tenant` was taken in, has ended. Between the two the tenant is active.
  virtual void OnArrive(int32_t tenant) = 0;
  virtual void OnEnd(int32_t tenant) = 0;

  // What was done for a tenant: rows computed of prompts, tokens generated, bytes of adapters
  // loaded. Nothing here allocates.
  virtual void OnService(int32_t tenant, int64_t prompt_tokens, int64_t generated_tokens) = 0;
  virtual void OnLoad(int32_t tenant, int64_t bytes) = 0;

  // A strict weak ordering that does not change while the scheduler sorts: true if `a` goes first.
  virtual bool Before(const QueueKey& a, const QueueKey& b) const = 0;

  // Whether `running` may be sent back to wait so that `waiting` gets in: fairness asks for it.
  // `*_running` are sequences of the two tenants that run now.
  virtual bool MayReplace(const QueueKey& waiting, int32_t waiting_running, const QueueKey& running,
                          int32_t running_running) const = 0;
};

// First come, first served, whatever the class.
class FcfsPolicy final : public SchedulingPolicy {
 public:
  int32_t TenantIndex(std::string_view) override { return 0; }
  void OnArrive(int32_t) override {}
  void OnEnd(int32_t) override {}
  void OnService(int32_t, int64_t, int64_t) override {}
  void OnLoad(int32_t, int64_t) override {}
  bool Before(const QueueKey& a, const QueueKey& b) const override { return a.arrival < b.arrival; }
  bool MayReplace(const QueueKey&, int32_t, const QueueKey&, int32_t) const override {
    return false;
  }
};

}  // namespace lamella
