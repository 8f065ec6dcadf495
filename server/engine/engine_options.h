// What the engine may use and what it accepts. Values; `Engine::Create` validates them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/engine/admission_options.h"
#include "server/engine/vtc_policy.h"

namespace lamella {

// What Submit accepts. The edge validates against the same numbers, so that its messages and the
// engine's agree; the engine checks them again because it must be safe without an edge.
struct RequestLimits {
  int64_t max_prompt_bytes = 4 << 20;   // of prompt_text, before tokenizing
  int32_t max_stop_strings = 16;        // of one request
  int32_t max_stop_string_bytes = 256;  // of each
  int32_t max_stop_token_ids = 64;      // of one request
  int32_t max_n = 16;                   // answers of one request; max_running at most
  int32_t max_logit_bias = 1024;        // entries of one request
  int32_t max_logprobs = 20;            // alternatives to a generated token
  int32_t max_prompt_logprobs = 5;      // alternatives to a prompt's token
  int32_t max_cache_salt_bytes = 128;
};

struct EngineOptions {
  RequestLimits limits;
  AdmissionOptions admission;  // its fair_shares follows `policy`

  int32_t step_tokens = 512;  // rows of one step, decode and prefill together
  // Rows of a step in which somebody decodes, which is how long a prompt holds a stream up; half of
  // them at least are for prompts if there are any.
  int32_t prefill_chunk_tokens = 256;
  int32_t max_running = 64;               // sequences that own blocks at one time
  int64_t stream_buffer_bytes = 1 << 20;  // unread answer of one request

  // A request ends after so long, whatever its deadline.
  absl::Duration max_request_time = absl::InfiniteDuration();
  // Longest time that an accepted request waits for its adapter to become resident.
  absl::Duration adapter_wait = absl::Seconds(30);
  // How often a load is asked for again that found the adapter cache full of pins.
  absl::Duration adapter_retry = absl::Milliseconds(200);

  // Requests of one adapter version with logits that are not finite, before the fault sink hears.
  int32_t adapter_strikes = 3;

  enum class Policy { kVtc, kFcfs };
  Policy policy = Policy::kVtc;
  VtcOptions vtc;

  // KV blocks promised to running requests for each block there is, [1, 16]. Above 1 more requests
  // run at a time, and the newest are sent back to wait if their answers turn out long.
  double kv_overcommit = 1.0;
  bool prefix_reuse = true;          // equal beginnings of prompts are computed once
  bool share_base_prefixes = false;  // of the base model, also between tenants
  std::string base_fingerprint;      // part of what a prefix is found by

  uint64_t seed = 0;         // start of the seeds that the engine picks; 0: from the system
  bool start_thread = true;  // false: tests step the loop by hand (Engine::Step)

  // INVALID_ARGUMENT that names the field, the limit and the value.
  absl::Status Validate() const;
};

}  // namespace lamella
