// The engine's state of one request, from its acceptance to its end. Owned by the scheduler,
// touched by the loop's thread alone.
//
//   waiting --blocks and pin at once--> running --> ended        waiting --> ended
//
// A waiting sequence holds neither blocks nor a pin; an ended one is taken out within the same
// step.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/cache/block_pool.h"
#include "server/core/adapter_residency.h"
#include "server/core/request.h"
#include "server/engine/admission.h"
#include "server/engine/answer.h"
#include "server/engine/scheduling_policy.h"
#include "server/engine/token_stream.h"

namespace lamella {

// What Submit hands to the loop.
struct Submission {
  std::string request_id;
  AdapterRef adapter;
  std::shared_ptr<std::atomic<bool>> adapter_settled;  // of the load that Submit asked for
  std::vector<int32_t> prompt;  // int32 [1 or more], every id within the vocabulary
  SamplingParams sampling;      // with the seed in use
  StopParams stop;
  absl::Time deadline = absl::InfiniteFuture();
  AdmissionTicket ticket;
  StreamWriter stream;
};

// How a sequence waits for its adapter.
struct AdapterWait {
  // Set by the residency when a load settles; shared with its callback.
  std::shared_ptr<std::atomic<bool>> settled;
  std::optional<absl::Time> since;     // of the wait for the load that is under way
  std::optional<absl::Time> retry_at;  // when to ask for the load again
};

struct SequenceTimes {
  std::optional<absl::Time> scheduled;
  std::optional<absl::Time> first_token;
  absl::Time last_token;
  absl::Duration adapter_wait;
  int32_t steps = 0;
  int64_t distinct_adapters = 0;  // summed over those steps
};

struct Sequence {
  Sequence(Submission submission, uint64_t arrival, Answer answer);

  // The request.
  const std::string request_id;
  const AdapterRef adapter;
  const SamplingParams sampling;
  const int32_t prompt_tokens;
  const int32_t max_tokens;  // of the answer; fits into the context
  const absl::Time deadline;
  const QueueKey key;
  AdmissionTicket ticket;
  StreamWriter stream;

  // Where it is. Keys and values of tokens[0, computed_tokens) are in the cache.
  std::vector<int32_t> tokens;  // int32: the prompt, then what was generated
  int32_t computed_tokens = 0;
  Answer answer;
  bool started = false;  // the stream was told

  // Held while running.
  BlockList blocks;
  AdapterPin pin;

  AdapterWait adapter_wait;
  SequenceTimes times;

  // How it ended, if it has.
  std::optional<ChoiceEnd> finished;
  absl::Status error;

  bool ended() const { return finished.has_value() || !error.ok(); }
  // The first end counts.
  void Fail(absl::Status status) {
    if (!ended()) error = std::move(status);
  }
  int32_t pending_tokens() const { return static_cast<int32_t>(tokens.size()) - computed_tokens; }
  bool decoding() const { return computed_tokens >= prompt_tokens; }
  int32_t generated_tokens() const { return static_cast<int32_t>(tokens.size()) - prompt_tokens; }
  // The last token's keys and values are never needed.
  int32_t worst_case_kv_tokens() const { return prompt_tokens + max_tokens - 1; }
};

}  // namespace lamella
