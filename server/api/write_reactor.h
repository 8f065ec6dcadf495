// What every server-streaming reactor of ours does, once: at most one write in flight, one Finish,
// and the end as soon as the caller is gone.
//
//   idle --Pump: message--> writing --OnWriteDone--> idle ... --Pump: status--> finished --> deleted
//
// A failed write or OnCancel in any state leads to finished, after the write in flight.
//
// The subclass produces; Pump may be called from any thread, any number of times, also before the
// handler has returned the reactor. Owns itself: OnDone deletes it.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <optional>
#include <variant>

#include "common/base/mutex.h"

namespace lamella {

class WriteReactor : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  void OnWriteDone(bool ok) final;
  void OnCancel() final;
  void OnDone() final { delete this; }

 protected:
  // A message to write or the status to end with.
  using Output = std::variant<grpc::ByteBuffer, grpc::Status>;

  ~WriteReactor() override = default;

  // The next output, or nothing yet. One thread at a time; nothing is asked for after a status.
  // Must not block or call Pump.
  virtual std::optional<Output> Next() = 0;

  // The caller is gone: stop producing. Outside of any lock, at most twice, from any thread.
  virtual void OnAbandoned() = 0;

  void Pump();

 private:
  enum class State { kIdle, kWriting, kFinished };

  // Ends the call unless it has ended or a write is in flight.
  void FinishAbandoned();

  Mutex mutex_;
  State state_ GUARDED_BY(mutex_) = State::kIdle;
  bool abandoned_ GUARDED_BY(mutex_) = false;
  grpc::ByteBuffer in_flight_;  // of the write in flight
};

}  // namespace lamella
