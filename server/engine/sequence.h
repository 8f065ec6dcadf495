// The engine's state of one request, from its acceptance to its end, and of each of its choices.
// Owned by the scheduler, touched by the loop's thread alone.
//
//   waiting --slots, blocks and pin at once--> running --> ended        waiting --> ended
//      ^------------- preempted --------------'
//
// A waiting request holds neither blocks nor a pin; an ended one is taken out within the same step.
// A preempted one keeps its tokens: when it runs again their keys and values are found in the prefix
// index or computed again, to the same bits.
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
#include "server/cache/prefix_index.h"
#include "server/core/adapter_residency.h"
#include "server/core/request.h"
#include "server/core/trace_context.h"
#include "server/engine/admission.h"
#include "server/engine/answer.h"
#include "server/engine/scheduling_policy.h"
#include "server/engine/token_stream.h"

namespace lamella {

// What Submit hands to the loop.
struct Submission {
  std::string request_id;
  std::string tenant;
  AdapterRef adapter;
  std::shared_ptr<std::atomic<bool>> adapter_settled;  // of the load that Submit asked for
  std::vector<int32_t> prompt;  // int32 [1 or more], every id within the vocabulary
  SamplingParams sampling;      // with the seed in use
  StopParams stop;
  int32_t n = 1;
  LogprobParams logprobs;
  Priority priority = Priority::kNormal;
  std::string cache_salt;
  absl::Time deadline = absl::InfiniteFuture();
  // The server's limit, if it and not the caller set the deadline.
  absl::Duration time_limit = absl::InfiniteDuration();
  TraceContext trace;
  AdmissionTicket ticket;
  StreamWriter stream;
};

// How a request waits for its adapter.
struct AdapterWait {
  // Set by the residency when a load settles; shared with its callback.
  std::shared_ptr<std::atomic<bool>> settled;
  std::optional<absl::Time> since;     // of the wait for the load that is under way
  std::optional<absl::Time> retry_at;  // when to ask for the load again
};

struct RequestTimes {
  std::optional<absl::Time> scheduled;
  std::optional<absl::Time> first_token;
  absl::Time last_token;
  absl::Duration adapter_wait;
  int32_t steps = 0;
  int64_t distinct_adapters = 0;  // summed over those steps
};

struct ActiveRequest;

// One choice of a request: tokens with their places in the KV cache.
struct Sequence {
  Sequence(ActiveRequest* request, int32_t choice_index, std::vector<int32_t> prompt,
           Answer answer);

  ActiveRequest* const request;
  const int32_t choice_index;

  // Keys and values of tokens[0, computed_tokens) are in the cache.
  std::vector<int32_t> tokens;  // int32: the prompt, then what was generated
  int32_t computed_tokens = 0;
  int32_t published_blocks = 0;  // of them, offered to the prefix index
  Answer answer;

  // Held while running. A choice that has no share of the prompt's blocks yet waits for it.
  BlockList blocks;
  bool has_prompt = false;

  absl::Time last_token;
  std::optional<ChoiceEnd> finished;

  int32_t pending_tokens() const { return static_cast<int32_t>(tokens.size()) - computed_tokens; }
  // One row brings the next token.
  bool decoding() const { return pending_tokens() == 1; }
  int32_t generated_tokens() const;
};

struct ActiveRequest {
  // The tokenizer outlives it.
  ActiveRequest(Submission submission, QueueKey key, const Tokenizer* tokenizer);
  ActiveRequest(const ActiveRequest&) = delete;
  ActiveRequest& operator=(const ActiveRequest&) = delete;

  // The request.
  const std::string request_id;
  const std::string tenant;
  const AdapterRef adapter;
  const SamplingParams sampling;
  const LogprobParams logprobs;
  const int32_t prompt_tokens;
  const int32_t max_tokens;  // of each answer; fits into the context
  const absl::Time deadline;
  const absl::Duration time_limit;  // as Submission's
  const QueueKey key;
  const std::string cache_salt;
  const TraceContext trace;
  AdmissionTicket ticket;
  StreamWriter stream;

  std::vector<std::unique_ptr<Sequence>> choices;  // [n]
  std::vector<TokenLogprobs> prompt_logprobs;      // as far as they are known
  bool started = false;                            // the stream was told
  PrefixScope scope;                               // where its prefixes are looked for
  int32_t cached_tokens = 0;                       // of the prompt, found there when it first ran
  int64_t considered_in = -1;                      // the last turn whose schedule looked at it
  int64_t counted_in = -1;                         // the last turn whose step carried it
  int32_t counted_tokens = 0;                      // generated, that its tenant's metrics know

  // Held while running.
  AdapterPin pin;
  int64_t promised_blocks = 0;
  int64_t admitted_in = -1;  // the step in which it last began to run
  bool preempted = false;    // in this step

  bool is_running() const { return promised_blocks > 0; }

  AdapterWait adapter_wait;
  RequestTimes times;
  absl::Status error;

  bool ended() const { return !error.ok() || open_choices() == 0; }
  int32_t open_choices() const;
  int32_t generated_tokens() const;  // of all choices
  // The first end counts.
  void Fail(absl::Status status) {
    if (!ended()) error = std::move(status);
  }
};

}  // namespace lamella
