// What every server-streaming reactor of ours does, once: at most one write in flight, one Finish,
// and the end as soon as the caller is gone.
//
//   idle --Pump: message--> writing --OnWriteDone--> idle ... --Pump: status--> finished --> deleted
//
// A failed write or OnCancel in any state leads to finished, after the write in flight. A write that
// does not leave within the listener's limit cancels the call (write_watch.h).
//
// The subclass produces; Pump may be called from any thread, any number of times, also before the
// handler has returned the reactor. Owns itself until OnDone; whoever else calls Pump, such as a
// worker, holds it as well (shared_from_this), and finds it finished then.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "server/api/write_watch.h"

namespace grpc {
class CallbackServerContext;
}  // namespace grpc

namespace lamella {

class WriteReactor : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                     public WatchedWrites,
                     public std::enable_shared_from_this<WriteReactor> {
 public:
  ~WriteReactor() override = default;

  // A reactor that owns itself, of the call `context`; `watch` is borrowed and outlives it.
  template <typename R, typename... Args>
  static R* Make(grpc::CallbackServerContext* context, WriteWatch* watch, Args&&... args) {
    auto reactor = std::make_shared<R>(std::forward<Args>(args)...);
    reactor->self_ = reactor;
    reactor->context_ = context;
    reactor->watch_ = watch;
    watch->Add(reactor);
    return reactor.get();
  }

  void OnWriteDone(bool ok) final;
  void OnCancel() final;
  // The last that this reactor is told; the local keeps it alive until the return.
  void OnDone() final {
    watch_->Remove(this);
    const auto last = std::move(self_);
  }
  bool CancelIfStalledSince(absl::Time time) final;

 protected:
  // A message to write or the status to end with.
  using Output = std::variant<grpc::ByteBuffer, grpc::Status>;

  // The next output, or nothing yet. One thread at a time; nothing is asked for after a status.
  // Must not block or call Pump.
  virtual std::optional<Output> Next() = 0;

  // The caller is gone: stop producing. Outside of any lock, any number of times, from any thread.
  virtual void OnAbandoned() = 0;

  void Pump();

 private:
  enum class State { kIdle, kWriting, kFinished };

  // Ends the call unless it has ended or a write is in flight.
  void FinishAbandoned();

  Mutex mutex_;
  State state_ GUARDED_BY(mutex_) = State::kIdle;
  bool abandoned_ GUARDED_BY(mutex_) = false;
  // While it is true nobody finishes the call, so that its context lives.
  bool cancelling_ GUARDED_BY(mutex_) = false;
  absl::Time write_begun_ GUARDED_BY(mutex_);
  grpc::ByteBuffer in_flight_;  // of the write in flight
  std::shared_ptr<WriteReactor> self_;
  grpc::CallbackServerContext* context_ = nullptr;
  WriteWatch* watch_ = nullptr;
};

}  // namespace lamella
