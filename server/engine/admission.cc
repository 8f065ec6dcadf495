#include "server/engine/admission.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

constexpr absl::Duration kShortestEstimate = absl::Milliseconds(50);
constexpr absl::Duration kLongestEstimate = absl::Minutes(1);
constexpr absl::Duration kLongestRefill = absl::Hours(1);    // known exactly, so longer is honest
constexpr absl::Duration kFirstEstimate = absl::Seconds(1);  // nothing was measured yet
constexpr double kSmoothing = 0.2;                           // weight of the newest duration

absl::Status Refuse(const char* reason, const std::string& message, absl::Duration retry_after,
                    absl::Duration longest = kLongestEstimate) {
  return MakeRetryableError(absl::StatusCode::kResourceExhausted, reason, message,
                            std::clamp(retry_after, kShortestEstimate, longest));
}

// "<what> <value> <unit>, the limit is <limit>"
std::string Over(const std::string& what, int64_t value, const char* unit, int64_t limit) {
  return what + " " + std::to_string(value) + " " + unit + ", the limit is " +
         std::to_string(limit);
}

TenantLoad Load(const TenantQuota& quota) {
  return {
      .in_flight = quota.in_flight, .queued = quota.queued, .queued_tokens = quota.queued_tokens};
}

}  // namespace

AdmissionTicket::AdmissionTicket(AdmissionTicket&& other) noexcept
    : controller_(std::exchange(other.controller_, nullptr)),
      tenant_(other.tenant_),
      tokens_(other.tokens_),
      admitted_(other.admitted_),
      queued_(other.queued_),
      settled_(other.settled_),
      aside_(other.aside_) {}

AdmissionTicket::~AdmissionTicket() {
  if (controller_ != nullptr) controller_->End(this);
}

absl::Status AdmissionTicket::Settle(int64_t prompt_tokens) {
  return controller_->Settle(this, prompt_tokens);
}

void AdmissionTicket::SetAside(bool aside) {
  if (controller_ != nullptr && queued_ && aside != aside_) controller_->SetAside(this, aside);
}

void AdmissionTicket::LeaveQueue() {
  if (controller_ != nullptr && queued_) controller_->LeaveQueue(this);
}

void AdmissionTicket::ReportGenerated(int64_t tokens) {
  if (controller_ != nullptr) controller_->ReportGenerated(tenant_, tokens);
}

AdmissionController::AdmissionController(AdmissionOptions options, const TenantDirectory* directory,
                                         const Clock* clock, Gauge waiting_tokens)
    : options_(options), directory_(directory), clock_(clock), waiting_tokens_(waiting_tokens) {
  MutexLock lock(&mutex_);
  bucket_.SetRate(options_.tokens_per_minute, clock_->Now());
}

absl::StatusOr<AdmissionTicket> AdmissionController::Admit(const AdmissionRequest& request) {
  const TenantLimits limits =
      directory_ == nullptr ? TenantLimits() : directory_->LimitsOf(request.tenant);
  const absl::Time now = clock_->Now();
  MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckServing(request, now));
  TenantQuota* const tenant = tenants_.Find(request.tenant, limits, now);
  if (absl::Status status = CheckTenant(request, *tenant, now); !status.ok()) {
    tenants_.ForgetIfIdle(tenant, now);
    return status;
  }
  if (queued_ == 0) pace_.OnBegin(now);
  ++queued_;
  if (tenant->queued++ == 0) ++waiting_tenants_;
  ++in_flight_;
  ++tenant->in_flight;
  AddQueued(tenant, request.least_tokens, 0);
  return AdmissionTicket(this, tenant, request.least_tokens, now);
}

absl::Status AdmissionController::CheckServing(const AdmissionRequest& request,
                                               absl::Time now) const {
  if (draining_) {
    // When the grace is over this process is gone, and another one may serve.
    return MakeRetryableError(
        absl::StatusCode::kUnavailable, reasons::kDraining, "the server is shutting down",
        std::clamp(drain_deadline_ - now, absl::Seconds(1), kLongestEstimate));
  }
  if (request.deadline <= now) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, reasons::kDeadlineExceeded, "",
                     "the deadline has passed");
  }
  if (options_.max_in_flight > 0 && in_flight_ >= options_.max_in_flight) {
    return Refuse(reasons::kQueueFull,
                  Over("the server has", in_flight_, "requests in flight", options_.max_in_flight),
                  TimeUntilOneEnds(in_flight_));
  }
  return absl::OkStatus();
}

bool AdmissionController::HasPlace(const TenantQuota& tenant) const {
  if (queued_ < options_.max_queued) return true;
  if (!options_.fair_shares || queued_ >= options_.most_queued()) return false;
  const int32_t tenants = waiting_tenants_ + (tenant.queued == 0 ? 1 : 0);
  return tenant.queued < options_.max_queued / tenants;
}

absl::Status AdmissionController::CheckTenant(const AdmissionRequest& request,
                                              const TenantQuota& tenant, absl::Time now) const {
  if (!HasPlace(tenant)) {
    return Refuse(reasons::kQueueFull,
                  "the queue holds " + std::to_string(queued_) + " requests, its limit is " +
                      std::to_string(options_.max_queued),
                  pace_.NextDeparture(now));
  }
  const int32_t most = tenant.limits.max_in_flight;
  if (most > 0 && tenant.in_flight >= most) {
    return Refuse(reasons::kTenantInFlightLimit,
                  Over("the tenant has", tenant.in_flight, "requests in flight", most),
                  TimeUntilOneEnds(tenant.in_flight));
  }
  RETURN_IF_ERROR(CheckTokens(tenant, request.least_tokens, 0, now));
  return CheckWait(tenant, request.deadline, now);
}

absl::Status AdmissionController::CheckTokens(const TenantQuota& tenant, int64_t tokens,
                                              int64_t counted, absl::Time now) const {
  const int64_t needed = std::max<int64_t>(tokens, 1);  // no prompt has less
  // A prompt above a limit on what waits comes in when nothing else does, or it never could.
  const auto exceeds = [&](int64_t queued_tokens, int64_t limit) {
    const int64_t others = queued_tokens - counted;
    return limit > 0 && others > 0 && others + needed > limit ? others + needed - limit : 0;
  };
  const int64_t tenants_most = tenant.limits.max_queued_tokens;
  if (const int64_t excess = exceeds(tenant.queued_tokens, tenants_most); excess > 0) {
    return Refuse(
        reasons::kTenantQueuedTokens,
        Over("with this prompt the tenant queues", tenants_most + excess, "tokens", tenants_most),
        TimeUntilDequeued(excess, ShareOf(tenant), now));
  }
  const int64_t most = options_.max_queued_tokens;
  if (const int64_t excess = exceeds(queued_tokens_, most); excess > 0) {
    return Refuse(reasons::kQueueFull,
                  Over("with this prompt the queue holds", most + excess, "tokens", most),
                  TimeUntilDequeued(excess, 1.0, now));
  }
  if (const absl::Duration wait = tenant.bucket.TimeUntil(needed, now);
      wait > absl::ZeroDuration()) {
    return Refuse(reasons::kTenantTokensPerMinute,
                  "the tenant has used its " + std::to_string(tenant.bucket.tokens_per_minute()) +
                      " tokens per minute",
                  wait, kLongestRefill);
  }
  if (const absl::Duration wait = bucket_.TimeUntil(needed, now); wait > absl::ZeroDuration()) {
    return Refuse(reasons::kTokensPerMinute,
                  "the server has used its " + std::to_string(bucket_.tokens_per_minute()) +
                      " tokens per minute",
                  wait, kLongestRefill);
  }
  return absl::OkStatus();
}

absl::Status AdmissionController::CheckWait(const TenantQuota& tenant, absl::Time deadline,
                                            absl::Time now) const {
  const std::optional<double> pace = pace_.TokensPerSecond();
  if (!pace.has_value()) return absl::OkStatus();
  auto ahead = static_cast<double>(queued_tokens_ - aside_tokens_);
  if (options_.fair_shares) {
    ahead = std::min(ahead, static_cast<double>(tenant.ahead_tokens()) / ShareOf(tenant));
  }
  const absl::Duration wait = absl::Seconds(ahead / *pace);
  if (wait > options_.max_queue_wait) {
    return Refuse(reasons::kQueueWaitTooLong,
                  "the request would wait for about " +
                      absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1))) +
                      ", the limit is " + absl::FormatDuration(options_.max_queue_wait),
                  wait - options_.max_queue_wait);
  }
  if (wait > deadline - now) {
    return Refuse(reasons::kDeadlineTooShort,
                  "the request would wait for about " +
                      absl::FormatDuration(absl::Trunc(wait, absl::Milliseconds(1))) +
                      ", its deadline is in " +
                      absl::FormatDuration(absl::Trunc(deadline - now, absl::Milliseconds(1))),
                  wait - (deadline - now));
  }
  return absl::OkStatus();
}

absl::Status AdmissionController::Settle(AdmissionTicket* ticket, int64_t prompt_tokens) {
  const absl::Time now = clock_->Now();
  MutexLock lock(&mutex_);
  TenantQuota* const tenant = ticket->tenant_;
  RETURN_IF_ERROR(CheckTokens(*tenant, prompt_tokens, ticket->tokens_, now));
  AddQueued(tenant, prompt_tokens - ticket->tokens_, 0);
  ticket->tokens_ = prompt_tokens;
  ticket->settled_ = true;
  AddReady(1);
  tenant->bucket.Take(prompt_tokens, now);
  bucket_.Take(prompt_tokens, now);
  return absl::OkStatus();
}

void AdmissionController::SetAside(AdmissionTicket* ticket, bool aside) {
  MutexLock lock(&mutex_);
  ticket->aside_ = aside;
  AddQueued(ticket->tenant_, 0, aside ? ticket->tokens_ : -ticket->tokens_);
  AddReady(aside ? -1 : 1);
}

void AdmissionController::LeaveQueue(AdmissionTicket* ticket) {
  const absl::Time now = clock_->Now();
  MutexLock lock(&mutex_);
  const bool was_ready = ticket->settled_ && !ticket->aside_;
  pace_.OnLeave(ticket->tokens_, now, ready_ > (was_ready ? 1 : 0));
  Dequeue(ticket);
}

void AdmissionController::ReportGenerated(TenantQuota* tenant, int64_t tokens) {
  const absl::Time now = clock_->Now();
  MutexLock lock(&mutex_);
  tenant->bucket.Take(tokens, now);
  bucket_.Take(tokens, now);
}

void AdmissionController::End(AdmissionTicket* ticket) {
  const absl::Time now = clock_->Now();
  MutexLock lock(&mutex_);
  TenantQuota* const tenant = ticket->tenant_;
  if (ticket->queued_) {
    Dequeue(ticket);
  } else if (duration_ == absl::InfiniteDuration()) {
    duration_ = now - ticket->admitted_;
  } else {
    duration_ += kSmoothing * (now - ticket->admitted_ - duration_);
  }
  --in_flight_;
  --tenant->in_flight;
  tenants_.ForgetIfIdle(tenant, now);
  // Under the lock: whoever waits may destroy this object as soon as it has seen the count.
  if (in_flight_ == 0) empty_.NotifyAll();
}

void AdmissionController::Dequeue(AdmissionTicket* ticket) {
  ticket->queued_ = false;
  --queued_;
  if (--ticket->tenant_->queued == 0) --waiting_tenants_;
  if (ticket->settled_ && !ticket->aside_) AddReady(-1);
  AddQueued(ticket->tenant_, -ticket->tokens_, ticket->aside_ ? -ticket->tokens_ : 0);
}

void AdmissionController::AddReady(int32_t requests) {
  ready_ += requests;
  if (ready_ == 0) pace_.OnNoneReady();
}

void AdmissionController::AddQueued(TenantQuota* tenant, int64_t tokens, int64_t aside_tokens) {
  queued_tokens_ += tokens;
  waiting_tokens_.Set(static_cast<double>(queued_tokens_));
  aside_tokens_ += aside_tokens;
  tenant->queued_tokens += tokens;
  tenant->aside_tokens += aside_tokens;
  waiting_weight_ -= tenant->waiting_weight;
  tenant->waiting_weight = tenant->ahead_tokens() > 0 ? tenant->limits.weight : 0;
  waiting_weight_ += tenant->waiting_weight;
  if (queued_tokens_ == aside_tokens_) waiting_weight_ = 0;  // and no rounding is left
}

double AdmissionController::ShareOf(const TenantQuota& tenant) const {
  const double own = tenant.limits.weight;
  return own / (waiting_weight_ - tenant.waiting_weight + own);
}

absl::Duration AdmissionController::TimeUntilDequeued(int64_t tokens, double share,
                                                      absl::Time now) const {
  const std::optional<double> pace = pace_.TokensPerSecond();
  if (!pace.has_value()) return pace_.NextDeparture(now);
  return absl::Seconds(static_cast<double>(tokens) / (*pace * share));
}

absl::Duration AdmissionController::TimeUntilOneEnds(int32_t in_flight) const {
  if (duration_ == absl::InfiniteDuration()) return kFirstEstimate;
  return duration_ / in_flight;
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

int64_t AdmissionController::queued_tokens() const {
  MutexLock lock(&mutex_);
  return queued_tokens_;
}

TenantLoad AdmissionController::LoadOf(std::string_view tenant) const {
  MutexLock lock(&mutex_);
  const TenantQuota* const quota = tenants_.Known(tenant);
  return quota == nullptr ? TenantLoad() : Load(*quota);
}

std::map<std::string, TenantLoad> AdmissionController::Loads() const {
  std::map<std::string, TenantLoad> loads;
  MutexLock lock(&mutex_);
  for (const auto& [tenant, quota] : tenants_.all()) {
    if (quota.in_flight > 0) loads.emplace(tenant, Load(quota));
  }
  return loads;
}

int32_t AdmissionController::known_tenants() const {
  MutexLock lock(&mutex_);
  return static_cast<int32_t>(tenants_.size());
}

}  // namespace lamella
