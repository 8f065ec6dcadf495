#include "server/api/write_reactor.h"

#include <utility>

namespace lamella {

void WriteReactor::Pump() {
  std::optional<Output> output;
  {
    MutexLock lock(&mutex_);
    if (state_ != State::kIdle || abandoned_) return;
    output = Next();
    if (!output.has_value()) return;
    state_ = std::holds_alternative<grpc::Status>(*output) ? State::kFinished : State::kWriting;
  }
  // From here on this thread alone may start an operation: the state says so to the others. After
  // Finish the reactor may be gone.
  if (auto* status = std::get_if<grpc::Status>(&*output)) {
    Finish(std::move(*status));
  } else {
    in_flight_ = std::move(std::get<grpc::ByteBuffer>(*output));
    StartWrite(&in_flight_);
  }
}

void WriteReactor::OnWriteDone(bool ok) {
  bool abandoned;
  {
    MutexLock lock(&mutex_);
    state_ = State::kIdle;
    if (!ok) abandoned_ = true;
    abandoned = abandoned_;
  }
  if (abandoned) {
    OnAbandoned();
    FinishAbandoned();
  } else {
    Pump();
  }
}

void WriteReactor::OnCancel() {
  {
    MutexLock lock(&mutex_);
    abandoned_ = true;
  }
  OnAbandoned();
  FinishAbandoned();
}

void WriteReactor::FinishAbandoned() {
  {
    MutexLock lock(&mutex_);
    if (state_ != State::kIdle) return;
    state_ = State::kFinished;
  }
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled"));
}

}  // namespace lamella
