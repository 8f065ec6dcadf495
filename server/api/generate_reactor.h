// One Generate call: reads the engine's stream and writes it out. Its slowness is its own: while a
// write is in flight the stream coalesces what comes.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lamella/v1/generation.pb.h"
#include "server/api/proto_conversion.h"
#include "server/api/write_reactor.h"
#include "server/engine/token_stream.h"

namespace lamella {

class GenerateReactor final : public WriteReactor {
 public:
  // Use Make.
  GenerateReactor(std::string request_id, OutputParams output, StreamReader reader);
  ~GenerateReactor() override = default;

  // Begins to write. Apart from construction, since it may end in OnDone at once.
  void Start();

 private:
  std::optional<Output> Next() override;
  void OnAbandoned() override { reader_.Cancel(); }

  void Queue(StreamEvents events);
  void QueueStreamed(StreamEvents events);
  void GatherWhole(StreamEvents events);

  const std::string request_id_;
  const OutputParams output_;
  // What was read and is not written yet: at most Started, one Delta for each choice,
  // Finished and the status.
  std::deque<Output> queue_;
  v1::Finished whole_;  // final_only: the answer so far
  // Last, so that it goes first: once it is gone the engine's thread calls nothing here.
  StreamReader reader_;
};

// Ends a call at once.
class RefusedReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  explicit RefusedReactor(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }

 private:
  ~RefusedReactor() override = default;
};

}  // namespace lamella
