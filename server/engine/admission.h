// Who may come in, decided before any work is done for a request. Counts what was accepted through
// tickets, in all and by tenant. Thread-safe; owned by the engine, outlives its tickets.
//
//   serving --BeginDrain--> draining       (nothing comes in any more)
//
// One request is admitted in two phases: Admit knows what can be known before tokenizing, Settle the
// exact size of the prompt.
//
//   ticket: admitted --Settle--> settled --LeaveQueue--> running --~AdmissionTicket--> gone
//           (a ticket may die in any state; until LeaveQueue its request is queued)
//
// How long a request would wait is estimated as the prompt tokens ahead of it over the pace at which
// prompts leave the queue (see QueuePace). Before a queue has built up once the pace is unknown, and
// nobody is refused for it. With fair shares only the own tenant's tokens are ahead: another
// tenant's backlog never gets a request refused.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "server/core/tenant_limits.h"
#include "server/engine/admission_options.h"
#include "server/engine/queue_pace.h"
#include "server/engine/tenant_quota.h"
#include "server/telemetry/metrics.h"

namespace lamella {

class AdmissionController;

// The place of one accepted request. Move-only; the destructor gives it back. One thread at a time.
class AdmissionTicket {
 public:
  AdmissionTicket() = default;
  AdmissionTicket(AdmissionTicket&& other) noexcept;
  AdmissionTicket& operator=(AdmissionTicket&&) = delete;
  AdmissionTicket(const AdmissionTicket&) = delete;
  AdmissionTicket& operator=(const AdmissionTicket&) = delete;
  ~AdmissionTicket();

  // The exact size of the prompt, once, before the request is queued for steps: checks the limits
  // on tokens again and charges it. RESOURCE_EXHAUSTED as Admit; nothing was charged then, and the
  // ticket is good for nothing but its destructor.
  absl::Status Settle(int64_t prompt_tokens);
  // Whether the request waits for its adapter: then it is ahead of nobody. Of settled tickets.
  void SetAside(bool aside);
  // The request has its first step. Any number of calls; a preempted request stays out.
  void LeaveQueue();
  // Charges tokens of the answer to its tenant. Each call takes a lock: tell of lumps, of the last
  // one before the ticket dies.
  void ReportGenerated(int64_t tokens);
  absl::Time admitted() const { return admitted_; }

 private:
  friend class AdmissionController;
  AdmissionTicket(AdmissionController* controller, TenantQuota* tenant, int64_t tokens,
                  absl::Time admitted)
      : controller_(controller), tenant_(tenant), tokens_(tokens), admitted_(admitted) {}

  AdmissionController* controller_ = nullptr;
  TenantQuota* tenant_ = nullptr;
  int64_t tokens_ = 0;  // of the prompt, as far as they are known
  absl::Time admitted_;
  bool queued_ = true;
  bool settled_ = false;
  bool aside_ = false;
};

struct AdmissionRequest {
  std::string_view tenant;
  int64_t least_tokens = 0;  // of the prompt; what is certain before tokenizing
  absl::Time deadline = absl::InfiniteFuture();
};

class AdmissionController {
 public:
  // `directory` may be null: tenants have no limits of their own. Both are borrowed. `waiting_tokens`
  // is told of queued_tokens() whenever it changes.
  AdmissionController(AdmissionOptions options, const TenantDirectory* directory,
                      const Clock* clock, Gauge waiting_tokens = {});

  // Refuses at once, each but the second with an estimate of when a retry can succeed:
  //   UNAVAILABLE (DRAINING); DEADLINE_EXCEEDED: the deadline has passed;
  //   RESOURCE_EXHAUSTED: the whole server's limits (QUEUE_FULL: requests queued, their tokens or
  //   requests in flight; TOKENS_PER_MINUTE), the tenant's (TENANT_IN_FLIGHT_LIMIT,
  //   TENANT_QUEUED_TOKENS, TENANT_TOKENS_PER_MINUTE), or the wait as it is estimated: past
  //   max_queue_wait (QUEUE_WAIT_TOO_LONG) or past the deadline (DEADLINE_TOO_SHORT; its time has
  //   not come yet, so that this is no DEADLINE_EXCEEDED).
  absl::StatusOr<AdmissionTicket> Admit(const AdmissionRequest& request) EXCLUDES(mutex_);

  // A second call can only bring the deadline nearer.
  void BeginDrain(absl::Time deadline) EXCLUDES(mutex_);
  absl::Time drain_deadline() const EXCLUDES(mutex_);  // InfiniteFuture while serving
  void WaitUntilEmpty() EXCLUDES(mutex_);

  int32_t queued() const EXCLUDES(mutex_);
  int32_t in_flight() const EXCLUDES(mutex_);
  int64_t queued_tokens() const EXCLUDES(mutex_);
  int32_t known_tenants() const EXCLUDES(mutex_);
  TenantLoad LoadOf(std::string_view tenant) const EXCLUDES(mutex_);
  // Of each tenant that has requests in flight.
  std::map<std::string, TenantLoad> Loads() const EXCLUDES(mutex_);

 private:
  friend class AdmissionTicket;
  absl::Status Settle(AdmissionTicket* ticket, int64_t prompt_tokens) EXCLUDES(mutex_);
  void SetAside(AdmissionTicket* ticket, bool aside) EXCLUDES(mutex_);
  void LeaveQueue(AdmissionTicket* ticket) EXCLUDES(mutex_);
  void ReportGenerated(TenantQuota* tenant, int64_t tokens) EXCLUDES(mutex_);
  void End(AdmissionTicket* ticket) EXCLUDES(mutex_);

  absl::Status CheckServing(const AdmissionRequest& request, absl::Time now) const REQUIRES(mutex_);
  // Whether the queue is not full, or full of others while this tenant has less than its share.
  bool HasPlace(const TenantQuota& tenant) const REQUIRES(mutex_);
  absl::Status CheckTenant(const AdmissionRequest& request, const TenantQuota& tenant,
                           absl::Time now) const REQUIRES(mutex_);
  // Whether a prompt of `tokens` may be queued and computed, of which `counted` are queued already.
  absl::Status CheckTokens(const TenantQuota& tenant, int64_t tokens, int64_t counted,
                           absl::Time now) const REQUIRES(mutex_);
  absl::Status CheckWait(const TenantQuota& tenant, absl::Time deadline, absl::Time now) const
      REQUIRES(mutex_);

  // Counts of what waits. Never of a ticket that has left the queue.
  void AddQueued(TenantQuota* tenant, int64_t tokens, int64_t aside_tokens) REQUIRES(mutex_);
  void AddReady(int32_t requests) REQUIRES(mutex_);
  void Dequeue(AdmissionTicket* ticket) REQUIRES(mutex_);

  double ShareOf(const TenantQuota& tenant) const REQUIRES(mutex_);
  absl::Duration TimeUntilDequeued(int64_t tokens, double share, absl::Time now) const
      REQUIRES(mutex_);
  absl::Duration TimeUntilOneEnds(int32_t in_flight) const REQUIRES(mutex_);

  const AdmissionOptions options_;
  const TenantDirectory* const directory_;
  const Clock* const clock_;
  const Gauge waiting_tokens_;
  mutable Mutex mutex_;
  CondVar empty_;
  bool draining_ GUARDED_BY(mutex_) = false;
  absl::Time drain_deadline_ GUARDED_BY(mutex_) = absl::InfiniteFuture();
  int32_t queued_ GUARDED_BY(mutex_) = 0;
  int32_t waiting_tenants_ GUARDED_BY(mutex_) = 0;  // with something queued
  int32_t in_flight_ GUARDED_BY(mutex_) = 0;
  int32_t ready_ GUARDED_BY(mutex_) = 0;  // of the queued ones, settled and not aside
  int64_t queued_tokens_ GUARDED_BY(mutex_) = 0;
  int64_t aside_tokens_ GUARDED_BY(mutex_) = 0;
  double waiting_weight_ GUARDED_BY(mutex_) = 0;  // of tenants with tokens ahead of somebody
  TokenBucket bucket_ GUARDED_BY(mutex_);
  TenantQuotas tenants_ GUARDED_BY(mutex_);
  QueuePace pace_ GUARDED_BY(mutex_);
  // From acceptance to end, smoothed.
  absl::Duration duration_ GUARDED_BY(mutex_) = absl::InfiniteDuration();
};

}  // namespace lamella
