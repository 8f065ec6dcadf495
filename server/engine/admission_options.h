// How much the engine accepts in all; what each tenant may have is the tenant directory's. Values.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace lamella {

struct AdmissionOptions {
  // Requests accepted that wait for their first step. With fair_shares a quarter more are kept free
  // for tenants that have less than their share of a full queue.
  int32_t max_queued = 256;
  int32_t max_in_flight = 0;      // requests accepted and not ended; 0: no limit
  int64_t max_queued_tokens = 0;  // of the prompts of what waits; 0: no limit
  int64_t tokens_per_minute = 0;  // prompts and answers; 0: no limit
  // A request that would wait longer for its first step, as far as one can tell, is refused.
  absl::Duration max_queue_wait = absl::InfiniteDuration();
  // The policy divides the engine among tenants by weight, so that a request waits for its own
  // tenant's alone, at the tenant's share of the pace. False: it waits for all that came before.
  bool fair_shares = true;

  int32_t most_queued() const { return max_queued + (fair_shares ? (max_queued + 3) / 4 : 0); }

  // INVALID_ARGUMENT that names the field, the limit and the value.
  absl::Status Validate() const;
};

}  // namespace lamella
