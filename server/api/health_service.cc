#include "server/api/health_service.h"

#include <memory>
#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/api/generate_reactor.h"
#include "server/api/receive.h"
#include "server/api/status_mapping.h"
#include "server/api/wire.h"

namespace lamella {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using Serving = HealthBoard::Serving;

grpc::ByteBuffer ToWire(Serving serving) {
  HealthCheckResponse response;
  switch (serving) {
    case Serving::kServing:
      response.set_status(HealthCheckResponse::SERVING);
      break;
    case Serving::kNotServing:
      response.set_status(HealthCheckResponse::NOT_SERVING);
      break;
    case Serving::kUnknownService:
      response.set_status(HealthCheckResponse::SERVICE_UNKNOWN);
      break;
  }
  return SerializeMessage(response);
}

}  // namespace

void HealthBoard::Set(const std::string& service, bool serving) {
  Wakes wakes;
  {
    MutexLock lock(&mutex_);
    serving_[service] = serving;
    wakes = wakes_;
  }
  for (const auto& [id, wake] : wakes) wake();
}

Serving HealthBoard::Of(const std::string& service) const {
  MutexLock lock(&mutex_);
  const auto found = serving_.find(service);
  if (found == serving_.end()) return Serving::kUnknownService;
  return found->second ? Serving::kServing : Serving::kNotServing;
}

void HealthBoard::Close() {
  Wakes wakes;
  {
    MutexLock lock(&mutex_);
    closed_ = true;
    wakes = wakes_;
  }
  for (const auto& [id, wake] : wakes) wake();
}

bool HealthBoard::closed() const {
  MutexLock lock(&mutex_);
  return closed_;
}

uint64_t HealthBoard::Subscribe(std::function<void()> wake) {
  MutexLock lock(&mutex_);
  wakes_.emplace(next_id_, std::move(wake));
  return next_id_++;
}

void HealthBoard::Unsubscribe(uint64_t id) {
  MutexLock lock(&mutex_);
  wakes_.erase(id);
}

HealthWatchReactor::HealthWatchReactor(HealthBoard* board, std::string service)
    : board_(board), service_(std::move(service)) {}

HealthWatchReactor::~HealthWatchReactor() { board_->Unsubscribe(subscription_); }

void HealthWatchReactor::Start() {
  const auto self = std::static_pointer_cast<HealthWatchReactor>(shared_from_this());
  subscription_ = board_->Subscribe([weak = std::weak_ptr<HealthWatchReactor>(self)] {
    if (const auto watcher = weak.lock()) watcher->Pump();
  });
  Pump();
}

std::optional<WriteReactor::Output> HealthWatchReactor::Next() {
  const Serving serving = board_->Of(service_);
  if (serving != told_) {
    told_ = serving;
    return ToWire(serving);
  }
  if (!board_->closed()) return std::nullopt;
  return ToGrpcStatus(MakeRetryableError(absl::StatusCode::kUnavailable, reasons::kDraining,
                                         "the server is shutting down", absl::Seconds(1)),
                      "");
}

grpc::ServerUnaryReactor* HealthServiceImpl::Check(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* in,
                                                   grpc::ByteBuffer* out) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  auto arrived = Receive<HealthCheckRequest>(context, *in, *gate_);
  if (arrived.status.ok()) {
    const Serving serving = board_->Of(arrived.message.service());
    if (serving == Serving::kUnknownService) {
      // As the protocol wants it: a code and nothing else.
      reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "unknown service"));
      return reactor;
    }
    *out = ToWire(serving);
  }
  reactor->Finish(ToGrpcStatus(arrived.status, arrived.call.request_id));
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* HealthServiceImpl::Watch(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* in) {
  auto arrived = Receive<HealthCheckRequest>(context, *in, *gate_);
  if (!arrived.status.ok()) {
    return new RefusedReactor(ToGrpcStatus(arrived.status, arrived.call.request_id));
  }
  auto* reactor = WriteReactor::Make<HealthWatchReactor>(context, gate_->writes(), board_,
                                                         arrived.message.service());
  reactor->Start();
  return reactor;
}

}  // namespace lamella
