// gRPC reflection of one listener, in both versions of the protocol: which services it has, and the
// descriptors behind them. Our own in place of gRPC's, so that it goes through the gate. Thread-safe.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <string>
#include <utility>
#include <vector>

#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "server/api/gate.h"

namespace lamella {

using ReflectionStream = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

class ReflectionV1 final
    : public grpc::reflection::v1::ServerReflection::WithRawCallbackMethod_ServerReflectionInfo<
          grpc::reflection::v1::ServerReflection::Service> {
 public:
  // `gate` is borrowed. `services` are full names.
  ReflectionV1(std::vector<std::string> services, const Gate* gate)
      : services_(std::move(services)), gate_(gate) {}
  ReflectionStream* ServerReflectionInfo(grpc::CallbackServerContext* context) override;

 private:
  const std::vector<std::string> services_;
  const Gate* const gate_;
};

class ReflectionV1Alpha final : public grpc::reflection::v1alpha::ServerReflection::
                                    WithRawCallbackMethod_ServerReflectionInfo<
                                        grpc::reflection::v1alpha::ServerReflection::Service> {
 public:
  // As ReflectionV1.
  ReflectionV1Alpha(std::vector<std::string> services, const Gate* gate)
      : services_(std::move(services)), gate_(gate) {}
  ReflectionStream* ServerReflectionInfo(grpc::CallbackServerContext* context) override;

 private:
  const std::vector<std::string> services_;
  const Gate* const gate_;
};

}  // namespace lamella
