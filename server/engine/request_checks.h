// What a request must fulfil beside being well-formed: checked on the caller's thread, the cheap
// part before tokenizing, the exact part after. Pure functions. Errors are INVALID_ARGUMENT with
// the field, the limit and the value.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/core/model_executor.h"
#include "server/core/request.h"
#include "server/engine/engine_options.h"

namespace lamella {

// Sizes, sampling and stopping; nothing proportional to the prompt is touched.
absl::Status CheckBeforeTokenizing(const Request& request, const RequestLimits& limits,
                                   const ExecutorLimits& executor);

// EMPTY_PROMPT, PROMPT_TOO_LONG, INVALID_TOKEN_ID, CANNOT_FIT (not even alone in the KV cache).
absl::Status CheckExactly(const Request& request, const std::vector<int32_t>& prompt,
                          const ExecutorLimits& executor);

// The longest answer that the context leaves room for, stop.max_tokens at most.
int32_t AnswerLimit(const Request& request, const std::vector<int32_t>& prompt,
                    const ExecutorLimits& executor);

}  // namespace lamella
