// The one way into every handler of both listeners: metadata bounds, who calls, whether that caller
// may, then the message. What it refuses never reaches a handler.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <string>

#include "absl/status/status.h"
#include "server/api/authorization.h"
#include "server/api/call_context.h"
#include "server/api/credentials.h"
#include "server/api/request_validator.h"
#include "server/api/wire.h"

namespace lamella {

// A request, the call it is part of, and whether it may go on.
template <typename Message>
struct Arrived {
  Message message;
  CallContext call;
  absl::Status status;
};

// Who calls, and may it call the method that takes `Message`s? For calls that begin without a
// message; the others use Receive.
template <typename Message>
absl::Status Admit(const grpc::CallbackServerContext& context, const Authenticator& authenticator,
                   Caller* caller) {
  absl::Status status = CheckMetadata(context);
  if (status.ok()) status = Identify(context, authenticator, caller);
  if (status.ok()) status = Authorize(*caller, Message::descriptor()->full_name());
  return status;
}

// A field of that name is what the caller calls the request.
template <typename Message>
std::string WantedId(const Message& message) {
  if constexpr (requires { message.request_id(); }) {
    return message.request_id();
  } else {
    return "";
  }
}

template <typename Message>
Arrived<Message> Receive(grpc::CallbackServerContext* context, const grpc::ByteBuffer& wire,
                         const Authenticator& authenticator) {
  Arrived<Message> arrived;
  Caller caller;
  arrived.status = Admit<Message>(*context, authenticator, &caller);
  if (arrived.status.ok()) arrived.status = ParseMessage(wire, &arrived.message);
  const std::string wanted = arrived.status.ok() ? WantedId(arrived.message) : "";
  arrived.call = ReadCallContext(*context, std::move(caller), wanted);
  if (arrived.status.ok()) arrived.status = ValidateRequestId(wanted);
  AddRequestIdTrailer(context, arrived.call.request_id);
  return arrived;
}

}  // namespace lamella
