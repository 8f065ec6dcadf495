// lamella.v1.GenerationService over the callback API. Every handler: metadata bounds, parse,
// validate, then the answer; nothing waits. Thread-safe; owned by the listener.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <string>

#include "absl/status/statusor.h"
#include "lamella/v1/generation.grpc.pb.h"
#include "server/api/call_context.h"
#include "server/api/gate.h"
#include "server/api/service_deps.h"

namespace lamella {

// Raw: requests arrive as bytes, so that one that does not parse is answered by us (see wire.h).
using GenerationServiceBase = v1::GenerationService::WithRawCallbackMethod_Generate<
    v1::GenerationService::WithRawCallbackMethod_Tokenize<
        v1::GenerationService::WithRawCallbackMethod_Detokenize<
            v1::GenerationService::WithRawCallbackMethod_GetModelInfo<
                v1::GenerationService::WithRawCallbackMethod_ListUsableAdapters<
                    v1::GenerationService::Service>>>>>;

class GenerationServiceImpl final : public GenerationServiceBase {
 public:
  // `gate` is borrowed.
  GenerationServiceImpl(ServiceDeps deps, const Gate* gate);

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  grpc::ServerWriteReactor<Bytes>* Generate(Context* context, const Bytes* request) override;
  grpc::ServerUnaryReactor* Tokenize(Context* context, const Bytes* request,
                                     Bytes* response) override;
  grpc::ServerUnaryReactor* Detokenize(Context* context, const Bytes* request,
                                       Bytes* response) override;
  grpc::ServerUnaryReactor* GetModelInfo(Context* context, const Bytes* request,
                                         Bytes* response) override;
  grpc::ServerUnaryReactor* ListUsableAdapters(Context* context, const Bytes* request,
                                               Bytes* response) override;

 private:
  // `answer`: StatusOr<Response>(const Message&, const Caller&).
  template <typename Message, typename Answer>
  grpc::ServerUnaryReactor* Unary(Context* context, const Bytes& request, Bytes* response,
                                  Answer answer) const;
  // Counts and records a refusal and turns it into an answer. `adapter_id`: as the caller wrote it.
  grpc::Status Refuse(const absl::Status& status, const CallContext& call,
                      const std::string& adapter_id = "") const;

  const ServiceDeps deps_;
  const Gate* const gate_;
};

}  // namespace lamella
