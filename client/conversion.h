// Between the client's plain structs and the protocol. Internal to the client library.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "grpcpp/support/status.h"
#include "lamella/v1/generation.pb.h"

namespace lamella::client {

v1::GenerateRequest ToProto(const GenerateOptions& options);

// Folds one event of a stream into `answer`; returns the text that it added.
std::string_view Fold(const v1::GenerateResponse& response, Answer* answer);

ModelInfo ToModelInfo(const v1::GetModelInfoResponse& response);

// The same code and message, with the details that common/base/error.h reads.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace lamella::client
