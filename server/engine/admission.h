// Who may come in, decided before any work is done for a request. Counts what was accepted through
// tickets: a request is queued until its first step, in flight until its end. Thread-safe; owned by
// the engine, outlives its tickets.
//
//   serving --BeginDrain--> draining       (nothing comes in any more)
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace lamella {

class AdmissionController;

// The place of one accepted request. Move-only; the destructor gives it back.
class AdmissionTicket {
 public:
  AdmissionTicket() = default;
  AdmissionTicket(AdmissionTicket&& other) noexcept;
  AdmissionTicket& operator=(AdmissionTicket&&) = delete;
  AdmissionTicket(const AdmissionTicket&) = delete;
  AdmissionTicket& operator=(const AdmissionTicket&) = delete;
  ~AdmissionTicket();

  // The request has its first step. Any number of calls.
  void LeaveQueue();
  absl::Time admitted() const { return admitted_; }

 private:
  friend class AdmissionController;
  AdmissionTicket(AdmissionController* controller, absl::Time admitted)
      : controller_(controller), admitted_(admitted) {}

  AdmissionController* controller_ = nullptr;
  absl::Time admitted_;
  bool queued_ = true;
};

class AdmissionController {
 public:
  AdmissionController(int32_t max_queued, const Clock* clock);

  // UNAVAILABLE (DRAINING) or RESOURCE_EXHAUSTED (QUEUE_FULL), each with an estimate of when a
  // retry can succeed.
  absl::StatusOr<AdmissionTicket> Admit() EXCLUDES(mutex_);

  // A second call can only bring the deadline nearer.
  void BeginDrain(absl::Time deadline) EXCLUDES(mutex_);
  absl::Time drain_deadline() const EXCLUDES(mutex_);  // InfiniteFuture while serving
  void WaitUntilEmpty() EXCLUDES(mutex_);

  int32_t queued() const EXCLUDES(mutex_);
  int32_t in_flight() const EXCLUDES(mutex_);

 private:
  friend class AdmissionTicket;
  void LeaveQueue() EXCLUDES(mutex_);
  void End(bool queued) EXCLUDES(mutex_);
  absl::Duration QueueEstimate(absl::Time now) const REQUIRES(mutex_);

  const int32_t max_queued_;
  const Clock* const clock_;
  mutable Mutex mutex_;
  CondVar empty_;
  bool draining_ GUARDED_BY(mutex_) = false;
  absl::Time drain_deadline_ GUARDED_BY(mutex_) = absl::InfiniteFuture();
  int32_t queued_ GUARDED_BY(mutex_) = 0;
  int32_t in_flight_ GUARDED_BY(mutex_) = 0;
  // When a request last left the queue or joined an empty one: time in which nobody was queued says
  // nothing about how fast the queue moves. And the smoothed time between two departures.
  absl::Time queue_moved_ GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Duration departure_interval_ GUARDED_BY(mutex_) = absl::InfiniteDuration();
};

}  // namespace lamella
