// What a request came to, for those who keep books: the log, the usage ledger, traces. Values, and
// the port that takes them. No prompt and no answer is in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/core/trace_context.h"

namespace lamella {

struct RequestRecord {
  std::string request_id;
  std::string tenant;   // empty: the caller is not known
  std::string adapter;  // its name, as the caller wrote it if the request was refused; "": the base
  std::string version;  // 64 lowercase hex digits; empty for the base and for refused requests
  // "stop_token", "stop_string", "length", or the ErrorInfo reason in lower case.
  std::string reason;
  bool accepted = true;  // false: refused, and none of the times below is set
  bool complete = true;  // the caller got the whole answer

  absl::Time begin;  // accepted; of a refused one, when it was refused
  absl::Time end;
  std::optional<absl::Time> scheduled;    // in its first step
  std::optional<absl::Time> first_token;  // committed
  std::optional<absl::Time> last_token;
  absl::Duration adapter_wait;  // of the time until it was scheduled

  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;     // of the prompt, found in the prefix index
  int32_t generated_tokens = 0;  // of all choices
  TraceContext trace;
};

class RequestRecorder {
 public:
  virtual ~RequestRecorder() = default;
  // Once for each request. On the engine's thread or a caller's: must not block, and may lose a
  // record, which it counts. Thread-safe.
  virtual void Record(const RequestRecord& record) = 0;
};

}  // namespace lamella
