#include "client/health.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "client/call.h"
#include "client/conversion.h"
#include "common/base/status_macros.h"

namespace lamella::client {
namespace {

constexpr char kMethod[] = "/grpc.health.v1.Health/Check";
constexpr size_t kMaxServiceBytes = 127;  // one byte of length

// HealthCheckRequest{1: service}.
grpc::ByteBuffer Request(const std::string& service) {
  std::string bytes;
  if (!service.empty()) bytes = std::string("\x0a") + static_cast<char>(service.size()) + service;
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// HealthCheckResponse{1: status}; a field that is 0 is not sent.
std::string StatusName(const grpc::ByteBuffer& response) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (response.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  if (bytes == "\x08\x01") return "SERVING";
  return bytes == "\x08\x02" ? "NOT_SERVING" : "UNKNOWN";
}

}  // namespace

absl::StatusOr<std::string> CheckHealth(const std::string& address, const std::string& service,
                                        const TlsOptions& tls, absl::Duration timeout) {
  if (service.size() > kMaxServiceBytes) return absl::InvalidArgumentError("service: too long");
  ASSIGN_OR_RETURN(const auto channel, MakeChannel("server", address, tls));
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  Prepare(timeout, /*key=*/"", &context);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, kMethod, Request(service), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return FromGrpc(status);
  return StatusName(response);
}

}  // namespace lamella::client
