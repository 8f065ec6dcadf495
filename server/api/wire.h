// Messages to and from the wire by hand, instead of by gRPC: a request that does not parse then
// gets an answer that names the field, where gRPC 1.51 would answer UNIMPLEMENTED. Pure functions.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"

namespace lamella {

// INVALID_ARGUMENT: INVALID_UTF8 with the field's path where a string is not UTF-8, else
// MALFORMED_REQUEST.
absl::Status ParseMessage(const grpc::ByteBuffer& wire, google::protobuf::Message* message);

// A message of our own making; what protobuf cannot serialize is empty.
grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

}  // namespace lamella
