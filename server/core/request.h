// A request as the engine knows it: native, validated, free of protobuf.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/core/adapter_ref.h"
#include "server/core/sampling_params.h"
#include "server/core/trace_context.h"

namespace lamella {

// Among the requests of one tenant; says nothing about other tenants.
enum class Priority : uint8_t { kLow, kNormal, kHigh };

// How many alternatives to tell of beside each token's own log-probability; -1: tell nothing. Natural
// logarithms, of the model's own distribution: before penalties, bias, temperature and cuts.
struct LogprobParams {
  int32_t generated = -1;
  int32_t prompt = -1;  // of every token of the prompt but the first
};

struct Request {
  std::string
      request_id;  // unique enough to find it in a log; made by the edge if the caller sent none
  std::string tenant;
  std::string adapter_id;  // as the caller wrote it: "", "A", "A@alias", "A@sha256:..."

  // Exactly one of the two is set.
  std::string prompt_text;                // UTF-8
  std::vector<int32_t> prompt_token_ids;  // taken as they are
  bool prompt_is_text = true;
  bool parse_special_tokens = false;  // see EncodeOptions; of prompt_text

  SamplingParams sampling;
  StopParams stop;
  int32_t n = 1;  // independent answers
  LogprobParams logprobs;
  Priority priority = Priority::kNormal;
  // Callers with another salt share no prefix with this one; "" is a salt like any other.
  std::string cache_salt;
  absl::Time deadline = absl::InfiniteFuture();
  TraceContext trace;
};

// Why a choice ended. Cancellation and deadlines are statuses, not reasons.
enum class FinishReason { kStopToken, kStopString, kLength };

struct Usage {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;  // of the prompt, found in the prefix index
  int32_t generated_tokens = 0;
};

struct Timings {
  absl::Duration queue;               // accepted -> first scheduled
  absl::Duration adapter_wait;        // of that, waiting for the adapter to become resident
  absl::Duration prefill;             // first scheduled -> first token
  absl::Duration first_token;         // accepted -> first token
  absl::Duration decode;              // first token -> last token
  int32_t steps = 0;                  // engine steps that carried a row of this request
  double mean_distinct_adapters = 0;  // distinct adapters per such step, base not counted
};

}  // namespace lamella
