#include "server/engine/engine_options.h"

#include <string>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/engine/option_checks.h"

namespace lamella {
namespace {

absl::Status RequireWithin(double low, double high, double value, const std::string& field) {
  if (value >= low && value <= high) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, field,
                   field + " must be between " + std::to_string(low) + " and " +
                       std::to_string(high) + ", got " + std::to_string(value));
}

}  // namespace

absl::Status EngineOptions::Validate() const {
  RETURN_IF_ERROR(RequireAtLeast(1, limits.max_prompt_bytes, "limits.max_prompt_bytes"));
  RETURN_IF_ERROR(RequireAtLeast(0, limits.max_stop_strings, "limits.max_stop_strings"));
  RETURN_IF_ERROR(RequireAtLeast(1, limits.max_stop_string_bytes, "limits.max_stop_string_bytes"));
  RETURN_IF_ERROR(RequireAtLeast(0, limits.max_stop_token_ids, "limits.max_stop_token_ids"));
  RETURN_IF_ERROR(RequireAtLeast(1, max_running, "max_running"));
  // Otherwise a full house of decode rows would leave no row for a prompt, for ever.
  RETURN_IF_ERROR(RequireAtLeast(int64_t{max_running} + 1, step_tokens, "step_tokens"));
  RETURN_IF_ERROR(RequireAtLeast(1, prefill_chunk_tokens, "prefill_chunk_tokens"));
  RETURN_IF_ERROR(admission.Validate());
  RETURN_IF_ERROR(RequireAtLeast(1, adapter_strikes, "adapter_strikes"));
  // One character of four bytes and a token id.
  RETURN_IF_ERROR(RequireAtLeast(8, stream_buffer_bytes, "stream_buffer_bytes"));
  RETURN_IF_ERROR(RequireWithin(1, 16, kv_overcommit, "kv_overcommit"));
  RETURN_IF_ERROR(RequireAtLeast(1, limits.max_n, "limits.max_n"));
  RETURN_IF_ERROR(RequireAtLeast(0, limits.max_logit_bias, "limits.max_logit_bias"));
  RETURN_IF_ERROR(RequireAtLeast(0, limits.max_logprobs, "limits.max_logprobs"));
  RETURN_IF_ERROR(RequireAtLeast(0, limits.max_prompt_logprobs, "limits.max_prompt_logprobs"));
  RETURN_IF_ERROR(RequireAtLeast(0, limits.max_cache_salt_bytes, "limits.max_cache_salt_bytes"));
  RETURN_IF_ERROR(RequirePositive(max_request_time, "max_request_time"));
  RETURN_IF_ERROR(RequirePositive(adapter_wait, "adapter_wait"));
  return RequirePositive(adapter_retry, "adapter_retry");
}

}  // namespace lamella
