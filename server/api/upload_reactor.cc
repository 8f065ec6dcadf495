#include "server/api/upload_reactor.h"

#include <grpcpp/server_context.h>

#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/api/receive.h"
#include "server/api/status_mapping.h"
#include "server/api/wire.h"

namespace lamella {
namespace {

constexpr size_t kMaxWaitingChunks = 1;
constexpr absl::Duration kReportInterval = absl::Milliseconds(100);

grpc::ByteBuffer ToWire(const v1::UploadProgress& progress) {
  v1::UploadAdapterResponse response;
  *response.mutable_progress() = progress;
  return SerializeMessage(response);
}

grpc::ByteBuffer ToWire(v1::UploadResult result) {
  v1::UploadAdapterResponse response;
  *response.mutable_result() = std::move(result);
  return SerializeMessage(response);
}

// For the metrics.
const char* LabelOf(const v1::UploadResult& result) {
  if (result.validate_only()) return "validated";
  return result.created() ? "created" : "deduplicated";
}

absl::Status Cancelled() {
  return MakeError(absl::StatusCode::kCancelled, reasons::kCancelled, "", "the call was cancelled");
}

}  // namespace

UploadReactor::UploadReactor(grpc::CallbackServerContext* context, const AdminDeps& deps)
    : context_(context), deps_(deps) {}

UploadReactor* UploadReactor::Start(grpc::CallbackServerContext* context, const AdminDeps& deps,
                                    const Gate& gate, UploadSlots* slots) {
  auto reactor = std::make_shared<UploadReactor>(context, deps);
  reactor->self_ = reactor;
  auto admitted = Admit<v1::UploadAdapterRequest>(*context, gate);
  absl::Status status = admitted.status();
  Caller caller = admitted.ok() ? *std::move(admitted) : Caller();
  std::string request_id = ReadCallContext(*context, caller, "").request_id;
  {
    MutexLock lock(&reactor->mutex_);
    reactor->request_id_ = request_id;
  }
  if (status.ok()) {
    auto slot = slots->Take(caller.tenant);
    status = slot.status();
    if (slot.ok()) reactor->slot_ = *std::move(slot);
  }
  reactor->session_ =
      std::make_unique<UploadSession>(deps, std::move(caller), std::move(request_id));
  if (!status.ok()) reactor->End(status);
  reactor->Pump();
  return reactor.get();
}

void UploadReactor::OnReadDone(bool ok) {
  {
    MutexLock lock(&mutex_);
    reading_ = false;
    if (ok) {
      chunks_.emplace_back();
      chunks_.back().Swap(&read_buffer_);
    } else {
      input_ended_ = true;
    }
  }
  Schedule();
  Pump();
}

void UploadReactor::OnWriteDone(bool ok) {
  {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) abandoned_ = true;
  }
  Schedule();
  Pump();
}

void UploadReactor::OnCancel() {
  {
    MutexLock lock(&mutex_);
    abandoned_ = true;
  }
  Schedule();
  Pump();
}

void UploadReactor::OnDone() { const auto last = std::move(self_); }

bool UploadReactor::WantsRead() const {
  return !reading_ && !input_ended_ && !abandoned_ && !end_.has_value() &&
         chunks_.size() < kMaxWaitingChunks;
}

UploadReactor::Op UploadReactor::NextOp() {
  if (finished_) return Op::kNone;
  if (abandoned_) {
    progress_.reset();
    result_.reset();
  }
  if (!writing_ && (progress_.has_value() || result_.has_value())) {
    std::optional<grpc::ByteBuffer>& next = progress_.has_value() ? progress_ : result_;
    write_buffer_ = *next;
    next.reset();
    writing_ = true;
    return Op::kWrite;
  }
  if (WantsRead()) {
    reading_ = true;
    return Op::kRead;
  }
  if (end_.has_value() && !writing_) {
    finished_ = true;
    return Op::kFinish;
  }
  return Op::kNone;
}

// One thread at a time starts operations; whoever else comes leaves it to that one, whose next look
// at the state comes after the change.
void UploadReactor::Pump() {
  const auto self = shared_from_this();
  {
    MutexLock lock(&mutex_);
    if (pumping_) return;
    pumping_ = true;
  }
  for (;;) {
    Op op;
    {
      MutexLock lock(&mutex_);
      op = NextOp();
      if (op == Op::kNone) {
        pumping_ = false;
        return;
      }
    }
    Run(op);
    if (op == Op::kFinish) return;  // pumping_ stays: nothing is started any more
  }
}

void UploadReactor::Run(Op op) {
  if (op == Op::kRead) {
    StartRead(&read_buffer_);
  } else if (op == Op::kWrite) {
    StartWrite(&write_buffer_);
  } else {
    grpc::Status status;
    std::string request_id;
    {
      MutexLock lock(&mutex_);
      status = *end_;
      request_id = request_id_;
    }
    AddRequestIdTrailer(context_, request_id);
    Finish(status);
  }
}

void UploadReactor::Schedule() {
  {
    MutexLock lock(&mutex_);
    const bool work = abandoned_ || input_ended_ || !chunks_.empty();
    if (working_ || end_.has_value() || !work) return;
    working_ = true;
  }
  deps_.workers->Post([self = shared_from_this()] { self->Work(); });
}

// One message, or the end. More is another task, so that uploads take turns.
void UploadReactor::Work() {
  std::optional<grpc::ByteBuffer> chunk;
  bool abandoned;
  {
    MutexLock lock(&mutex_);
    abandoned = abandoned_;
    if (!abandoned && !chunks_.empty()) {
      chunk = std::move(chunks_.front());
      chunks_.pop_front();
    }
  }
  if (abandoned) {
    End(Cancelled());
  } else if (chunk.has_value()) {
    Pump();  // there is room for the next one
    TakeChunk(*chunk);
  } else {
    FinishSession();
  }
  {
    MutexLock lock(&mutex_);
    working_ = false;
  }
  Schedule();
  Pump();
}

void UploadReactor::TakeChunk(const grpc::ByteBuffer& chunk) {
  v1::UploadAdapterRequest message;
  absl::Status status = ParseMessage(chunk, &message);
  if (status.ok()) status = session_->Take(message);
  {
    MutexLock lock(&mutex_);
    request_id_ = session_->request_id();
  }
  if (!status.ok()) {
    End(status);
  } else {
    Report();
  }
}

void UploadReactor::FinishSession() {
  // A caller that went away ends its stream as one does that is done; only this tells them apart.
  if (context_->IsCancelled()) return End(Cancelled());
  auto result = session_->Finish();
  if (!result.ok()) return End(result.status());
  const char* const label = LabelOf(*result);
  {
    MutexLock lock(&mutex_);
    result_ = ToWire(*std::move(result));
  }
  End(absl::OkStatus(), label);
}

void UploadReactor::Report() {
  const v1::UploadProgress progress = session_->progress();
  const absl::Time now = deps_.clock->Now();
  if (progress.state() == reported_state_ && now < reported_ + kReportInterval) return;
  reported_ = now;
  reported_state_ = progress.state();
  MutexLock lock(&mutex_);
  progress_ = ToWire(progress);
}

void UploadReactor::End(const absl::Status& status, const char* result) {
  deps_.metrics->uploads.WithReason(status.ok() ? result : ReasonLabel(status)).Increment();
  if (ErrorReason(status) == reasons::kQuotaExceeded) {
    deps_.metrics->by_tenant.Add(session_->tenant(), TenantCount::kUploadsRefused);
  }
  deps_.metrics->upload_bytes.Increment(static_cast<double>(session_->progress().bytes()));
  session_.reset();
  slot_ = UploadSlots::Slot();
  MutexLock lock(&mutex_);
  chunks_.clear();
  end_ = ToGrpcStatus(status, request_id_);
}

}  // namespace lamella
