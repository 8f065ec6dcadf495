#include "server/engine/admission_options.h"

#include "common/base/status_macros.h"
#include "server/engine/option_checks.h"

namespace lamella {

absl::Status AdmissionOptions::Validate() const {
  RETURN_IF_ERROR(RequireAtLeast(1, max_queued, "max_queued"));
  RETURN_IF_ERROR(RequireAtLeast(0, max_in_flight, "max_in_flight"));
  RETURN_IF_ERROR(RequireAtLeast(0, max_queued_tokens, "max_queued_tokens"));
  RETURN_IF_ERROR(RequireAtLeast(0, tokens_per_minute, "tokens_per_minute"));
  return RequirePositive(max_queue_wait, "max_queue_wait");
}

}  // namespace lamella
