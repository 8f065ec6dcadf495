#include "server/api/generate_reactor.h"

#include <utility>

#include "server/api/status_mapping.h"
#include "server/api/wire.h"

namespace lamella {
namespace {

grpc::ByteBuffer ToWire(v1::Started started) {
  v1::GenerateResponse response;
  *response.mutable_started() = std::move(started);
  return SerializeMessage(response);
}

grpc::ByteBuffer ToWire(v1::Delta delta) {
  v1::GenerateResponse response;
  *response.mutable_delta() = std::move(delta);
  return SerializeMessage(response);
}

grpc::ByteBuffer ToWire(v1::Finished finished) {
  v1::GenerateResponse response;
  *response.mutable_finished() = std::move(finished);
  return SerializeMessage(response);
}

}  // namespace

GenerateReactor::GenerateReactor(std::string request_id, OutputParams output, StreamReader reader)
    : request_id_(std::move(request_id)), output_(output), reader_(std::move(reader)) {}

void GenerateReactor::Start() {
  reader_.SetReadyCallback([this] { Pump(); });
}

std::optional<WriteReactor::Output> GenerateReactor::Next() {
  if (queue_.empty()) {
    if (auto events = reader_.TryRead(); events.has_value()) Queue(std::move(*events));
  }
  if (queue_.empty()) return std::nullopt;
  Output output = std::move(queue_.front());
  queue_.pop_front();
  return output;
}

void GenerateReactor::Queue(StreamEvents events) {
  const absl::Status error = events.error;
  const bool finished = events.finished.has_value();
  if (output_.final_only) {
    GatherWhole(std::move(events));
  } else {
    QueueStreamed(std::move(events));
  }
  if (!error.ok()) {
    queue_.emplace_back(ToGrpcStatus(error, request_id_));
  } else if (finished) {
    queue_.emplace_back(grpc::Status::OK);
  }
}

void GenerateReactor::QueueStreamed(StreamEvents events) {
  if (events.started.has_value()) queue_.emplace_back(ToWire(ToProto(*events.started)));
  for (const StreamDelta& delta : events.deltas) {
    if (delta.text.empty() && delta.logprobs.empty() && !output_.token_ids) continue;
    queue_.emplace_back(ToWire(ToProto(delta, output_)));
  }
  if (events.finished.has_value()) {
    queue_.emplace_back(ToWire(ToProto(*events.finished, output_)));
  }
}

void GenerateReactor::GatherWhole(StreamEvents events) {
  if (events.started.has_value()) *whole_.mutable_started() = ToProto(*events.started);
  for (const StreamDelta& delta : events.deltas) AddToWhole(delta, output_, &whole_);
  if (events.finished.has_value()) {
    FinishWhole(*events.finished, output_, &whole_);
    queue_.emplace_back(ToWire(std::move(whole_)));
  }
}

}  // namespace lamella
