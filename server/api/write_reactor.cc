#include "server/api/write_reactor.h"

#include <grpcpp/server_context.h>

#include <utility>

#include "absl/time/clock.h"

namespace lamella {

void WriteReactor::Pump() {
  std::optional<Output> output;
  {
    MutexLock lock(&mutex_);
    if (state_ != State::kIdle || abandoned_) return;
    output = Next();
    if (!output.has_value()) return;
    state_ = std::holds_alternative<grpc::Status>(*output) ? State::kFinished : State::kWriting;
    write_begun_ = absl::Now();
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

bool WriteReactor::CancelIfStalledSince(absl::Time time) {
  {
    MutexLock lock(&mutex_);
    if (state_ != State::kWriting || abandoned_ || write_begun_ > time) return false;
    cancelling_ = true;
    abandoned_ = true;
  }
  // May call this reactor back, on this thread.
  context_->TryCancel();
  {
    MutexLock lock(&mutex_);
    cancelling_ = false;
  }
  OnAbandoned();
  FinishAbandoned();
  return true;
}

void WriteReactor::FinishAbandoned() {
  {
    MutexLock lock(&mutex_);
    if (state_ != State::kIdle || cancelling_) return;
    state_ = State::kFinished;
  }
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled"));
}

}  // namespace lamella
