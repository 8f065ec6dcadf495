#include "server/engine/request_checks.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace {

absl::Status Invalid(const char* reason, const std::string& field, const std::string& problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field, field + " " + problem);
}

const char* PromptField(const Request& request) {
  return request.prompt_is_text ? "text" : "token_ids";
}

absl::Status CheckSampling(const SamplingParams& sampling) {
  if (!std::isfinite(sampling.temperature) || sampling.temperature < 0) {
    return Invalid(reasons::kOutOfRange, "sampling.temperature",
                   "must be finite and at least 0, got " + std::to_string(sampling.temperature));
  }
  if (sampling.top_k < 0) {
    return Invalid(reasons::kOutOfRange, "sampling.top_k",
                   "must be at least 0, got " + std::to_string(sampling.top_k));
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return Invalid(reasons::kOutOfRange, "sampling.top_p",
                   "must be in (0, 1], got " + std::to_string(sampling.top_p));
  }
  return absl::OkStatus();
}

absl::Status CheckCount(size_t count, int32_t limit, const char* field) {
  if (count <= static_cast<size_t>(limit)) return absl::OkStatus();
  return Invalid(reasons::kTooMany, field,
                 "may hold " + std::to_string(limit) + ", got " + std::to_string(count));
}

absl::Status CheckTokenIds(const std::vector<int32_t>& ids, int32_t vocab_size, const char* field) {
  const auto outside = std::find_if(
      ids.begin(), ids.end(), [vocab_size](int32_t id) { return id < 0 || id >= vocab_size; });
  if (outside == ids.end()) return absl::OkStatus();
  return Invalid(
      reasons::kInvalidTokenId, field,
      "must be in [0, " + std::to_string(vocab_size) + "), got " + std::to_string(*outside));
}

absl::Status CheckStop(const StopParams& stop, const RequestLimits& limits, int32_t vocab_size) {
  if (stop.max_tokens < 1) {
    return Invalid(reasons::kOutOfRange, "stop.max_tokens",
                   "must be at least 1, got " + std::to_string(stop.max_tokens));
  }
  RETURN_IF_ERROR(CheckCount(stop.stop_strings.size(), limits.max_stop_strings, "stop.strings"));
  RETURN_IF_ERROR(
      CheckCount(stop.stop_token_ids.size(), limits.max_stop_token_ids, "stop.token_ids"));
  for (const std::string& string : stop.stop_strings) {
    if (!string.empty() && string.size() <= static_cast<size_t>(limits.max_stop_string_bytes)) {
      continue;
    }
    return Invalid(reasons::kOutOfRange, "stop.strings",
                   "must have 1 to " + std::to_string(limits.max_stop_string_bytes) +
                       " bytes each, got " + std::to_string(string.size()));
  }
  return CheckTokenIds(stop.stop_token_ids, vocab_size, "stop.token_ids");
}

}  // namespace

absl::Status CheckBeforeTokenizing(const Request& request, const RequestLimits& limits,
                                   const ExecutorLimits& executor) {
  const size_t prompt_size =
      request.prompt_is_text ? request.prompt_text.size() : request.prompt_token_ids.size();
  if (prompt_size == 0) {
    return Invalid(reasons::kEmptyPrompt, PromptField(request), "must not be empty");
  }
  if (request.prompt_is_text && prompt_size > static_cast<size_t>(limits.max_prompt_bytes)) {
    return Invalid(reasons::kPromptTooLong, "text",
                   "may have " + std::to_string(limits.max_prompt_bytes) + " bytes, got " +
                       std::to_string(prompt_size));
  }
  RETURN_IF_ERROR(CheckSampling(request.sampling));
  return CheckStop(request.stop, limits, executor.vocab_size);
}

absl::Status CheckExactly(const Request& request, const std::vector<int32_t>& prompt,
                          const ExecutorLimits& executor) {
  const char* const field = PromptField(request);
  if (prompt.empty()) return Invalid(reasons::kEmptyPrompt, field, "has no tokens");
  const auto tokens = static_cast<int64_t>(prompt.size());
  // One position at least is for the answer.
  const int32_t longest = executor.context_tokens - 1;
  if (tokens > longest) {
    return Invalid(
        reasons::kPromptTooLong, field,
        "may have " + std::to_string(longest) + " tokens, got " + std::to_string(tokens));
  }
  RETURN_IF_ERROR(CheckTokenIds(prompt, executor.vocab_size, field));
  const int64_t capacity = int64_t{executor.num_blocks} * executor.block_tokens;
  const int64_t needed = tokens + AnswerLimit(request, prompt, executor) - 1;
  if (needed <= capacity) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kCannotFit, "stop.max_tokens",
                   "prompt and stop.max_tokens need " + std::to_string(needed) +
                       " tokens of the KV cache, it has " + std::to_string(capacity));
}

int32_t AnswerLimit(const Request& request, const std::vector<int32_t>& prompt,
                    const ExecutorLimits& executor) {
  return std::min(request.stop.max_tokens,
                  executor.context_tokens - static_cast<int32_t>(prompt.size()));
}

}  // namespace lamella
