// Writes one log line for each request that ended or was refused: who, what, how it ended, how long
// its stages took, how many tokens. Never a prompt or an answer.
#pragma once

#include "server/telemetry/record_queue.h"

namespace lamella {

class RequestLog final : public RecordSink {
 public:
  size_t Write(std::span<const RequestRecord> records) override;
};

}  // namespace lamella
