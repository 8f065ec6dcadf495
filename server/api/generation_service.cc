#include "server/api/generation_service.h"

#include <algorithm>
#include <utility>

#include "server/api/generate_reactor.h"
#include "server/api/proto_conversion.h"
#include "server/api/receive.h"
#include "server/api/request_validator.h"
#include "server/api/status_mapping.h"
#include "server/api/unary_handlers.h"
#include "server/api/wire.h"
#include "server/telemetry/traceparent.h"

namespace lamella {
namespace {

constexpr size_t kMaxRecordedIdBytes = 160;  // longer than any valid adapter_id

// What a caller wrote goes into logs only if it could be an id.
std::string ForTheRecord(const std::string& adapter_id) {
  const bool visible = std::all_of(adapter_id.begin(), adapter_id.end(),
                                   [](char c) { return '!' <= c && c <= '~'; });
  return visible && adapter_id.size() <= kMaxRecordedIdBytes ? adapter_id : "(no id)";
}

}  // namespace

GenerationServiceImpl::GenerationServiceImpl(ServiceDeps deps, const Gate* gate)
    : deps_(std::move(deps)), gate_(gate) {}

grpc::Status GenerationServiceImpl::Refuse(const absl::Status& status, const CallContext& call,
                                           const std::string& adapter_id) const {
  RequestRecord record;
  record.reason = ReasonLabel(status);
  deps_.metrics->requests_rejected.WithReason(record.reason).Increment();
  if (const std::string& tenant = call.caller.tenant; !tenant.empty()) {
    deps_.metrics->by_tenant.Add(tenant, TenantCount::kRejected);
  }
  if (deps_.recorder != nullptr) {
    record.request_id = call.request_id;
    record.tenant = call.caller.tenant;
    record.adapter = ForTheRecord(adapter_id);
    record.accepted = record.complete = false;
    record.begin = record.end = absl::Now();
    record.trace = call.trace;
    deps_.recorder->Record(record);
  }
  return ToGrpcStatus(status, call.request_id);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerationServiceImpl::Generate(Context* context,
                                                                            const Bytes* request) {
  auto arrived = Receive<v1::GenerateRequest>(context, *request, *gate_);
  CallContext& call = arrived.call;
  if (call.trace.empty() && deps_.begin_traces) call.trace = BeginTrace();
  AddTraceTrailer(context, call.trace);
  const auto refused = [&](const absl::Status& status) {
    return new RefusedReactor(Refuse(status, call, arrived.message.adapter_id()));
  };
  if (!arrived.status.ok()) return refused(arrived.status);
  auto native = ValidateGenerate(arrived.message, deps_.limits, deps_.tokenizer->vocab_size());
  if (!native.ok()) return refused(native.status());
  native->request_id = call.request_id;
  native->tenant = call.caller.tenant;
  native->deadline = call.deadline;
  native->trace = call.trace;
  auto reader = deps_.sink->Submit(*std::move(native));
  if (!reader.ok()) return refused(reader.status());
  auto* reactor = WriteReactor::Make<GenerateReactor>(context, gate_->writes(), call.request_id,
                                                      ToOutputParams(arrived.message.output()),
                                                      *std::move(reader));
  reactor->Start();
  return reactor;
}

template <typename Message, typename Answer>
grpc::ServerUnaryReactor* GenerationServiceImpl::Unary(Context* context, const Bytes& request,
                                                       Bytes* response, Answer answer) const {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto arrived = Receive<Message>(context, request, *gate_);
  if (!arrived.status.ok()) {
    reactor->Finish(Refuse(arrived.status, arrived.call));
    return reactor;
  }
  const auto answered = answer(arrived.message, arrived.call.caller);
  if (!answered.ok()) {
    reactor->Finish(Refuse(answered.status(), arrived.call));
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
      context, *request, response, [this](const v1::GetModelInfoRequest&, const Caller& caller) {
        return absl::StatusOr<v1::GetModelInfoResponse>(HandleGetModelInfo(caller.tenant, deps_));
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
