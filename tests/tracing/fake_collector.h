// A collector of traces on a free port of this machine.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "lamella/otlp/v1/trace_service.grpc.pb.h"

namespace lamella {

namespace otlp = opentelemetry::proto::collector::trace::v1;

// Keeps what it is sent, or answers as the test wants. Thread-safe.
class FakeCollector final : public otlp::TraceService::Service {
 public:
  FakeCollector() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeCollector() override { server_->Shutdown(); }

  grpc::Status Export(grpc::ServerContext*, const otlp::ExportTraceServiceRequest* request,
                      otlp::ExportTraceServiceResponse* response) override {
    MutexLock lock(&mutex_);
    requests_.push_back(*request);
    if (rejects_ > 0) response->mutable_partial_success()->set_rejected_spans(rejects_);
    return status_;
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void Answer(const grpc::Status& status, int64_t rejects = 0) {
    MutexLock lock(&mutex_);
    status_ = status;
    rejects_ = rejects;
  }
  std::vector<otlp::ExportTraceServiceRequest> requests() {
    MutexLock lock(&mutex_);
    return requests_;
  }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  grpc::Status status_ GUARDED_BY(mutex_);
  int64_t rejects_ GUARDED_BY(mutex_) = 0;
  std::vector<otlp::ExportTraceServiceRequest> requests_ GUARDED_BY(mutex_);
};

}  // namespace lamella
