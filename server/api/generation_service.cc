#include "server/api/generation_service.h"

#include <utility>

#include "server/api/generate_reactor.h"
#include "server/api/proto_conversion.h"
#include "server/api/receive.h"
#include "server/api/request_validator.h"
#include "server/api/status_mapping.h"
#include "server/api/unary_handlers.h"
#include "server/api/wire.h"

namespace lamella {
GenerationServiceImpl::GenerationServiceImpl(ServiceDeps deps) : deps_(std::move(deps)) {}

grpc::Status GenerationServiceImpl::Refuse(const absl::Status& status,
                                           const std::string& request_id) const {
  deps_.metrics->requests_rejected.WithReason(ReasonLabel(status)).Increment();
  return ToGrpcStatus(status, request_id);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerationServiceImpl::Generate(Context* context,
                                                                            const Bytes* request) {
  auto arrived = Receive<v1::GenerateRequest>(context, *request, *deps_.authenticator);
  const std::string request_id = arrived.call.request_id;
  if (!arrived.status.ok()) return new RefusedReactor(Refuse(arrived.status, request_id));
  auto native = ValidateGenerate(arrived.message, deps_.limits, deps_.tokenizer->vocab_size());
  if (!native.ok()) return new RefusedReactor(Refuse(native.status(), request_id));
  native->request_id = request_id;
  native->tenant = arrived.call.caller.tenant;
  native->deadline = arrived.call.deadline;
  auto reader = deps_.sink->Submit(*std::move(native));
  if (!reader.ok()) return new RefusedReactor(Refuse(reader.status(), request_id));
  auto* reactor = WriteReactor::Make<GenerateReactor>(
      request_id, ToOutputParams(arrived.message.output()), *std::move(reader));
  reactor->Start();
  return reactor;
}

template <typename Message, typename Answer>
grpc::ServerUnaryReactor* GenerationServiceImpl::Unary(Context* context, const Bytes& request,
                                                       Bytes* response, Answer answer) const {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto arrived = Receive<Message>(context, request, *deps_.authenticator);
  if (!arrived.status.ok()) {
    reactor->Finish(Refuse(arrived.status, arrived.call.request_id));
    return reactor;
  }
  const auto answered = answer(arrived.message, arrived.call.caller);
  if (!answered.ok()) {
    reactor->Finish(Refuse(answered.status(), arrived.call.request_id));
    return reactor;
  }
  *response = SerializeMessage(*answered);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* GenerationServiceImpl::Tokenize(Context* context, const Bytes* request,
                                                          Bytes* response) {
  return Unary<v1::TokenizeRequest>(
      context, *request, response,
      [this](const v1::TokenizeRequest& r, const Caller&) { return HandleTokenize(r, deps_); });
}

grpc::ServerUnaryReactor* GenerationServiceImpl::Detokenize(Context* context, const Bytes* request,
                                                            Bytes* response) {
  return Unary<v1::DetokenizeRequest>(
      context, *request, response,
      [this](const v1::DetokenizeRequest& r, const Caller&) { return HandleDetokenize(r, deps_); });
}

grpc::ServerUnaryReactor* GenerationServiceImpl::GetModelInfo(Context* context,
                                                              const Bytes* request,
                                                              Bytes* response) {
  return Unary<v1::GetModelInfoRequest>(
      context, *request, response, [this](const v1::GetModelInfoRequest&, const Caller&) {
        return absl::StatusOr<v1::GetModelInfoResponse>(HandleGetModelInfo(deps_));
      });
}

grpc::ServerUnaryReactor* GenerationServiceImpl::ListUsableAdapters(Context* context,
                                                                    const Bytes* request,
                                                                    Bytes* response) {
  return Unary<v1::ListUsableAdaptersRequest>(
      context, *request, response,
      [this](const v1::ListUsableAdaptersRequest& r, const Caller& caller) {
        return HandleListUsableAdapters(r, caller.tenant, deps_);
      });
}

}  // namespace lamella
