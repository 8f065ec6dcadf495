#include "server/engine/admission.h"

#include <algorithm>
#include <string>

#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

constexpr absl::Duration kShortestEstimate = absl::Milliseconds(50);
constexpr absl::Duration kLongestEstimate = absl::Minutes(1);
constexpr absl::Duration kFirstEstimate = absl::Seconds(1);  // nothing was measured yet
constexpr double kSmoothing = 0.2;                           // weight of the newest interval

}  // namespace

AdmissionTicket::AdmissionTicket(AdmissionTicket&& other) noexcept
    : controller_(other.controller_), admitted_(other.admitted_), queued_(other.queued_) {
  other.controller_ = nullptr;
}

AdmissionTicket::~AdmissionTicket() {
  if (controller_ != nullptr) controller_->End(queued_);
}

void AdmissionTicket::LeaveQueue() {
  if (controller_ == nullptr || !queued_) return;
  queued_ = false;
  controller_->LeaveQueue();
}

AdmissionController::AdmissionController(int32_t max_queued, const Clock* clock)
    : max_queued_(max_queued), clock_(clock) {}

absl::StatusOr<AdmissionTicket> AdmissionController::Admit() {
  const absl::Time now = clock_->Now();
  MutexLock lock(&mutex_);
  if (draining_) {
    // When the grace is over this process is gone, and another one may serve.
    return MakeRetryableError(
        absl::StatusCode::kUnavailable, reasons::kDraining, "the server is shutting down",
        std::clamp(drain_deadline_ - now, absl::Seconds(1), kLongestEstimate));
  }
  if (queued_ >= max_queued_) {
    return MakeRetryableError(absl::StatusCode::kResourceExhausted, reasons::kQueueFull,
                              "the queue holds " + std::to_string(queued_) +
                                  " requests, its limit is " + std::to_string(max_queued_),
                              QueueEstimate(now));
  }
  if (queued_ == 0) queue_moved_ = now;
  ++queued_;
  ++in_flight_;
  return AdmissionTicket(this, now);
}

void AdmissionController::BeginDrain(absl::Time deadline) {
  MutexLock lock(&mutex_);
  draining_ = true;
  drain_deadline_ = std::min(drain_deadline_, deadline);
}

absl::Time AdmissionController::drain_deadline() const {
  MutexLock lock(&mutex_);
  return drain_deadline_;
}

void AdmissionController::WaitUntilEmpty() {
  MutexLock lock(&mutex_);
  while (in_flight_ > 0) empty_.Wait(&mutex_);
}

int32_t AdmissionController::queued() const {
  MutexLock lock(&mutex_);
  return queued_;
}

int32_t AdmissionController::in_flight() const {
  MutexLock lock(&mutex_);
  return in_flight_;
}

void AdmissionController::LeaveQueue() {
  const absl::Time now = clock_->Now();
  MutexLock lock(&mutex_);
  --queued_;
  const absl::Duration interval = now - queue_moved_;
  queue_moved_ = now;
  if (departure_interval_ == absl::InfiniteDuration()) {
    departure_interval_ = interval;
  } else {
    departure_interval_ += kSmoothing * (interval - departure_interval_);
  }
}

void AdmissionController::End(bool queued) {
  MutexLock lock(&mutex_);
  if (queued) --queued_;
  --in_flight_;
  // Under the lock: whoever waits may destroy this object as soon as it has seen the count.
  if (in_flight_ == 0) empty_.NotifyAll();
}

absl::Duration AdmissionController::QueueEstimate(absl::Time now) const {
  // One departure makes one place; a queue that has stood still for long will not move at once.
  const absl::Duration interval =
      departure_interval_ == absl::InfiniteDuration() ? kFirstEstimate : departure_interval_;
  const absl::Duration estimate = std::max(interval, now - queue_moved_);
  return std::clamp(estimate, kShortestEstimate, kLongestEstimate);
}

}  // namespace lamella
