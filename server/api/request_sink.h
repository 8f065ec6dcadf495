// Where validated requests go: the engine in the server, a fake in this room's tests. Thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "server/core/request.h"
#include "server/engine/token_stream.h"

namespace lamella {

class RequestSink {
 public:
  virtual ~RequestSink() = default;

  // As Engine::Submit: accepts, or refuses at once. Never waits.
  virtual absl::StatusOr<StreamReader> Submit(Request request) = 0;
};

}  // namespace lamella
