// The one way into every handler of both listeners: the gate (metadata bounds, who calls, whether that
// caller may), then the message. What it refuses never reaches a handler.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/api/call_context.h"
#include "server/api/gate.h"
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

// Who calls the method that takes `Message`s. For calls that begin without a message; the others
// use Receive.
template <typename Message>
absl::StatusOr<Caller> Admit(const grpc::CallbackServerContext& context, const Gate& gate) {
  return gate.Admit(context, Message::descriptor()->full_name());
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
                         const Gate& gate) {
  Arrived<Message> arrived;
  absl::StatusOr<Caller> admitted = Admit<Message>(*context, gate);
  arrived.status = admitted.status();
  Caller caller = admitted.ok() ? *std::move(admitted) : Caller();
  if (arrived.status.ok()) arrived.status = ParseMessage(wire, &arrived.message);
  const std::string wanted = arrived.status.ok() ? WantedId(arrived.message) : "";
  arrived.call = ReadCallContext(*context, std::move(caller), wanted);
  if (arrived.status.ok()) arrived.status = ValidateRequestId(wanted);
  AddRequestIdTrailer(context, arrived.call.request_id);
  return arrived;
}

}  // namespace lamella
