#include "server/api/unknown_methods.h"

#include <string>

#include "server/api/call_context.h"
#include "server/api/status_mapping.h"

namespace lamella {
namespace {

class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerGenericBidiReactor* UnknownMethods::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const std::string request_id = ReadCallContext(*context, Caller(), "").request_id;
  AddRequestIdTrailer(context, request_id);
  return new Refusal(ToGrpcStatus(gate_->RefuseUnknown(*context), request_id));
}

}  // namespace lamella
