// Who is served first among those that wait. A policy orders and counts; it owns no request, reserves
// nothing and never decides how many fit. Owned by the scheduler; the loop's thread alone.
//
//   request: OnArrive --> queued --OnLeaveQueue--> running or over --OnEnd--> gone
//                           ^                         |
//                           +----- OnRejoinQueue -----+
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

  // The number of a tenant: good until its last request has ended, if OnArrive follows at once.
  // May allocate; nothing below does.
  virtual int32_t TenantIndex(std::string_view tenant) = 0;

  // A request of `tenant` was taken in and waits, has ended and neither waits nor runs. Between the
  // two the tenant is active.
  virtual void OnArrive(int32_t tenant) = 0;
  virtual void OnEnd(int32_t tenant) = 0;
  // One of its requests waits no more: it runs, or ends at once. And: it was sent back to wait.
  virtual void OnLeaveQueue(int32_t tenant) = 0;
  virtual void OnRejoinQueue(int32_t tenant) = 0;

  // What is done for an active tenant: tokens of a prompt that will be computed, told as it leaves
  // the queue, so that the choice of the next one knows of it; tokens generated; bytes of an adapter
  // that was loaded, told at its first use. What is computed again after a preemption is nobody's.
  virtual void OnService(int32_t tenant, int64_t prompt_tokens, int64_t generated_tokens) = 0;
  virtual void OnLoad(int32_t tenant, int64_t bytes) = 0;

  // Tells whoever counts it of what was charged since the last call.
  virtual void Report() = 0;

  // True if `a` goes first: a strict weak ordering, the same until the next On... call. The first
  // in this order is chosen anew after each that left the queue.
  virtual bool Before(const QueueKey& a, const QueueKey& b) const = 0;

  // Whether `running` may be sent back to wait so that `waiting` gets in: fairness asks for it.
  virtual bool MayReplace(const QueueKey& waiting, const QueueKey& running) const = 0;
};

// First come, first served, whatever the class.
class FcfsPolicy final : public SchedulingPolicy {
 public:
  int32_t TenantIndex(std::string_view) override { return 0; }
  void OnArrive(int32_t) override {}
  void OnEnd(int32_t) override {}
  void OnLeaveQueue(int32_t) override {}
  void OnRejoinQueue(int32_t) override {}
  void OnService(int32_t, int64_t, int64_t) override {}
  void OnLoad(int32_t, int64_t) override {}
  void Report() override {}
  bool Before(const QueueKey& a, const QueueKey& b) const override { return a.arrival < b.arrival; }
  bool MayReplace(const QueueKey&, const QueueKey&) const override { return false; }
};

}  // namespace lamella
