// The answer to one request on its way from the engine thread to whoever reads it: two ends of one
// bounded buffer. The writer never waits; the reader never blocks and is told when there is
// something to read. Deltas that were not read yet are coalesced, so a slow reader costs one
// buffer.
//
//   open --Start--> started --Write*--> started --Finish | Fail--> ended       Start may be skipped
//   (past max_buffered_bytes the stream ends itself: RESOURCE_EXHAUSTED, SLOW_READER)
//
// Exactly one terminal event reaches the reader: `finished` or `error`, after every delta that was
// accepted before it. Each end belongs to one thread at a time; the two ends are thread-safe
// against each other. Callbacks run outside the lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "server/core/request.h"
#include "server/core/step.h"

namespace lamella {

// What is told of one token.
struct TokenLogprobs {
  TokenLogprob token;
  std::vector<TokenLogprob>
      top;  // alternatives, likeliest first; the token itself may be among them

  friend bool operator==(const TokenLogprobs&, const TokenLogprobs&) = default;
};

struct StreamStarted {
  std::string request_id;
  std::string adapter;  // name; "" is the base model
  std::string version;  // digest, 64 lowercase hex digits; "" for the base model
  uint64_t seed = 0;    // the one in use: the caller's, or the one that the engine picked
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  std::vector<TokenLogprobs> prompt_logprobs;  // of the second token and later ones, if asked for
};

struct StreamDelta {
  int32_t choice = 0;
  std::string text;  // whole UTF-8 characters; may be empty
  // Every generated token arrives here once, with or after the text it belongs to; also the token
  // that stopped the answer and those whose text a stop string removed.
  absl::InlinedVector<int32_t, 6> token_ids;  // a reader that keeps up costs no allocation
  std::vector<TokenLogprobs> logprobs;        // of each of token_ids, if asked for; else empty
};

struct ChoiceEnd {
  FinishReason reason = FinishReason::kLength;
  std::string matched_string;     // kStopString
  int32_t matched_token_id = -1;  // kStopToken
};

struct StreamFinished {
  std::vector<ChoiceEnd> choices;  // by choice index
  Usage usage;
  Timings timings;
};

// Everything that was there to read, in the order of its fields.
struct StreamEvents {
  std::optional<StreamStarted> started;
  absl::InlinedVector<StreamDelta, 1> deltas;  // at most one for each choice
  std::optional<StreamFinished> finished;
  absl::Status error;  // not OK: the stream failed and `finished` is empty

  bool terminal() const { return finished.has_value() || !error.ok(); }
};

struct StreamOptions {
  int64_t max_buffered_bytes = 0;   // not yet read: text bytes, 4 for each token
                                    // id, 8 for each log-probability
  std::function<void()> on_cancel;  // on the reader's thread, at most once; must not block
};

namespace internal {
class StreamState;
}  // namespace internal

// The consumer's end. Move-only; destroying it cancels the request.
class StreamReader {
 public:
  StreamReader() = default;
  explicit StreamReader(std::shared_ptr<internal::StreamState> state);
  StreamReader(StreamReader&&) = default;
  StreamReader& operator=(StreamReader&& other) noexcept;
  StreamReader(const StreamReader&) = delete;
  StreamReader& operator=(const StreamReader&) = delete;
  // Once this returns the ready callback is not running and never runs again, unless it is the
  // callback itself that destroys its reader. So do not destroy it under a lock that the callback
  // takes.
  ~StreamReader();

  explicit operator bool() const { return state_ != nullptr; }

  // `ready` runs on the writer's thread when something can be read that no TryRead has taken, once
  // until the next TryRead; at once, on this thread, if there is something already. It must not
  // block. It may call TryRead. Set it once.
  void SetReadyCallback(std::function<void()> ready);

  // All that is there, or nothing. After a terminal event there is nothing, for ever.
  std::optional<StreamEvents> TryRead();

  // Asks the engine to end the request; the terminal event (CANCELLED, or what came first) follows
  // within one step. Unread deltas are dropped. Any number of calls; from any thread.
  void Cancel();

 private:
  void Close();

  std::shared_ptr<internal::StreamState> state_;
};

// The engine's end. Move-only; one that is destroyed before its terminal event fails the stream.
class StreamWriter {
 public:
  StreamWriter() = default;
  explicit StreamWriter(std::shared_ptr<internal::StreamState> state);
  StreamWriter(StreamWriter&&) = default;
  StreamWriter& operator=(StreamWriter&&) = delete;
  StreamWriter(const StreamWriter&) = delete;
  StreamWriter& operator=(const StreamWriter&) = delete;
  ~StreamWriter();

  void Start(StreamStarted started);
  // False once the stream has ended: by this very call if the buffer would pass its bound.
  bool Write(int32_t choice, std::string_view text, std::span<const int32_t> token_ids,
             std::span<const TokenLogprobs> logprobs = {});
  // True if this call ended the stream; false if it had ended already.
  bool Finish(StreamFinished finished);
  bool Fail(absl::Status error);

  // The reader has asked for the end, or is gone. Wait-free.
  bool cancelled() const;

 private:
  std::shared_ptr<internal::StreamState> state_;
};

std::pair<StreamWriter, StreamReader> MakeTokenStream(StreamOptions options);

}  // namespace lamella
