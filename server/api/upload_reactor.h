// One UploadAdapter call: reads the stream, hands each message to a worker, writes progress and the
// result. Three things go on at once, each at most once: a read, a write, a worker's task. At most
// four chunks are in memory: one being read, one waiting, one that the worker has and its parsed
// copy.
//
//   open --error, last message done, or the caller is gone--> ending --no write left--> finished
//
// Every gRPC operation is started by one thread at a time (Pump's loop), so none can come after
// Finish. Callbacks and workers change the state and call Pump. The session is touched by the
// worker's task alone; it is gone, and with it everything unfinished on disk, before the call is
// finished.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "common/base/mutex.h"
#include "server/api/admin_deps.h"
#include "server/api/gate.h"
#include "server/api/upload_session.h"
#include "server/api/upload_slots.h"

namespace grpc {
class CallbackServerContext;
}  // namespace grpc

namespace lamella {

class UploadReactor final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public std::enable_shared_from_this<UploadReactor> {
 public:
  // Checks who calls and begins to read, or refuses. Owns itself until OnDone. `slots` is borrowed.
  static UploadReactor* Start(grpc::CallbackServerContext* context, const AdminDeps& deps,
                              const Gate& gate, UploadSlots* slots);

  UploadReactor(grpc::CallbackServerContext* context, const AdminDeps& deps);
  ~UploadReactor() override = default;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  enum class Op { kNone, kRead, kWrite, kFinish };

  void Pump() EXCLUDES(mutex_);
  Op NextOp() REQUIRES(mutex_);
  void Run(Op op) EXCLUDES(mutex_);
  bool WantsRead() const REQUIRES(mutex_);

  // Gives the worker a task if it has none and there is something to do.
  void Schedule() EXCLUDES(mutex_);
  void Work() EXCLUDES(mutex_);
  void TakeChunk(const grpc::ByteBuffer& chunk) EXCLUDES(mutex_);
  void FinishSession() EXCLUDES(mutex_);
  void Report() EXCLUDES(mutex_);
  // `result`: the metric label of a good end.
  void End(const absl::Status& status, const char* result = "") EXCLUDES(mutex_);

  grpc::CallbackServerContext* const context_;
  const AdminDeps deps_;  // a copy: it may outlive the service by a moment
  std::shared_ptr<UploadReactor> self_;

  // Of the worker's task.
  UploadSlots::Slot slot_;
  std::unique_ptr<UploadSession> session_;
  absl::Time reported_ = absl::InfinitePast();
  int reported_state_ = 0;

  grpc::ByteBuffer read_buffer_;   // of the read in flight
  grpc::ByteBuffer write_buffer_;  // of the write in flight

  Mutex mutex_;
  std::string request_id_ GUARDED_BY(mutex_);
  std::deque<grpc::ByteBuffer> chunks_ GUARDED_BY(mutex_);       // arrived and waiting
  std::optional<grpc::ByteBuffer> progress_ GUARDED_BY(mutex_);  // the newest, not written yet
  std::optional<grpc::ByteBuffer> result_ GUARDED_BY(mutex_);
  std::optional<grpc::Status> end_ GUARDED_BY(mutex_);
  bool input_ended_ GUARDED_BY(mutex_) = false;
  bool abandoned_ GUARDED_BY(mutex_) = false;
  bool working_ GUARDED_BY(mutex_) = false;
  bool pumping_ GUARDED_BY(mutex_) = false;
  bool reading_ GUARDED_BY(mutex_) = false;
  bool writing_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
};

}  // namespace lamella
