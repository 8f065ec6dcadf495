#include "server/engine/request_checks.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/engine/kv_demand.h"

namespace lamella {
namespace {

absl::Status Invalid(const char* reason, const std::string& field, const std::string& problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field, field + " " + problem);
}

const char* PromptField(const Request& request) {
  return request.prompt_is_text ? "text" : "token_ids";
}

absl::Status OutOfRange(const std::string& field, const std::string& range, double value) {
  return Invalid(reasons::kOutOfRange, field,
                 "must be " + range + ", got " + std::to_string(value));
}

absl::Status OutOfRange(const std::string& field, const std::string& range, int64_t value) {
  return Invalid(reasons::kOutOfRange, field,
                 "must be " + range + ", got " + std::to_string(value));
}

// Comparisons are written so that NaN fails.
absl::Status CheckCuts(const SamplingParams& sampling) {
  if (!std::isfinite(sampling.temperature) || sampling.temperature < 0) {
    return OutOfRange("sampling.temperature", "finite and at least 0", sampling.temperature);
  }
  if (sampling.top_k < 0) {
    return OutOfRange("sampling.top_k", "at least 0", int64_t{sampling.top_k});
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return OutOfRange("sampling.top_p", "in (0, 1]", sampling.top_p);
  }
  if (!(sampling.min_p >= 0 && sampling.min_p < 1)) {
    return OutOfRange("sampling.min_p", "in [0, 1)", sampling.min_p);
  }
  return absl::OkStatus();
}

absl::Status CheckPenalties(const SamplingParams& sampling) {
  const float repetition = sampling.repetition_penalty;
  if (!(repetition > 0 && repetition <= kMaxRepetitionPenalty)) {
    return OutOfRange("sampling.repetition_penalty", "in (0, 10]", repetition);
  }
  if (!(std::abs(sampling.presence_penalty) <= kMaxCountPenalty)) {
    return OutOfRange("sampling.presence_penalty", "in [-2, 2]", sampling.presence_penalty);
  }
  if (!(std::abs(sampling.frequency_penalty) <= kMaxCountPenalty)) {
    return OutOfRange("sampling.frequency_penalty", "in [-2, 2]", sampling.frequency_penalty);
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

absl::Status CheckLogitBias(const std::vector<LogitBias>& entries, const RequestLimits& limits,
                            int32_t vocab_size) {
  constexpr char kField[] = "sampling.logit_bias";
  RETURN_IF_ERROR(CheckCount(entries.size(), limits.max_logit_bias, kField));
  int32_t last = -1;
  for (const LogitBias& entry : entries) {
    if (entry.token_id < 0 || entry.token_id >= vocab_size) {
      return Invalid(reasons::kInvalidTokenId, kField,
                     "must be of tokens in [0, " + std::to_string(vocab_size) + "), got " +
                         std::to_string(entry.token_id));
    }
    if (entry.token_id <= last) {
      return Invalid(reasons::kDuplicateKey, kField,
                     "must be sorted and name each token once, got " +
                         std::to_string(entry.token_id) + " after " + std::to_string(last));
    }
    last = entry.token_id;
    if (!(std::abs(entry.bias) <= kMaxLogitBias)) {
      return OutOfRange(kField, "in [-100, 100]", entry.bias);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckWithin(const char* field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return OutOfRange(field, "in [" + std::to_string(low) + ", " + std::to_string(high) + "]", value);
}

// What is not about one choice of a token.
absl::Status CheckOutput(const Request& request, const RequestLimits& limits) {
  RETURN_IF_ERROR(CheckWithin("sampling.n", request.n, 1, limits.max_n));
  RETURN_IF_ERROR(
      CheckWithin("output.logprobs", request.logprobs.generated, -1, limits.max_logprobs));
  RETURN_IF_ERROR(CheckWithin("output.prompt_logprobs", request.logprobs.prompt, -1,
                              limits.max_prompt_logprobs));
  if (request.cache_salt.size() > static_cast<size_t>(limits.max_cache_salt_bytes)) {
    return Invalid(reasons::kOutOfRange, "cache_salt",
                   "may have " + std::to_string(limits.max_cache_salt_bytes) + " bytes, got " +
                       std::to_string(request.cache_salt.size()));
  }
  if (request.priority <= Priority::kHigh) return absl::OkStatus();
  return Invalid(reasons::kOutOfRange, "priority", "is none of low, normal and high");
}

absl::Status CheckStop(const StopParams& stop, const RequestLimits& limits, int32_t vocab_size) {
  if (stop.max_tokens < 1) {
    return OutOfRange("stop.max_tokens", "at least 1", int64_t{stop.max_tokens});
  }
  RETURN_IF_ERROR(CheckWithin("stop.min_tokens", stop.min_tokens, 0, stop.max_tokens));
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
  RETURN_IF_ERROR(CheckOutput(request, limits));
  RETURN_IF_ERROR(CheckCuts(request.sampling));
  RETURN_IF_ERROR(CheckPenalties(request.sampling));
  RETURN_IF_ERROR(CheckLogitBias(request.sampling.logit_bias, limits, executor.vocab_size));
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
  const KvShape kv{executor.block_tokens, executor.attention_window, executor.max_rows};
  const int64_t needed = WorstCaseBlocks(kv, static_cast<int32_t>(tokens),
                                         AnswerLimit(request, prompt, executor), request.n);
  if (needed <= executor.num_blocks) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kCannotFit, "stop.max_tokens",
                   "prompt, stop.max_tokens and n need " + std::to_string(needed) +
                       " blocks of the KV cache, it has " + std::to_string(executor.num_blocks) +
                       " of " + std::to_string(executor.block_tokens) + " tokens");
}

int32_t AnswerLimit(const Request& request, const std::vector<int32_t>& prompt,
                    const ExecutorLimits& executor) {
  return std::min(request.stop.max_tokens,
                  executor.context_tokens - static_cast<int32_t>(prompt.size()));
}

}  // namespace lamella
