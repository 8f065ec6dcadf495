// From native answers to messages. Pure functions.
#pragma once

#include "absl/time/time.h"
#include "lamella/v1/generation.pb.h"
#include "server/core/adapter_catalogue.h"
#include "server/engine/token_stream.h"

namespace lamella {

struct OutputParams {
  bool final_only = false;
  bool token_ids = false;
  bool timings = false;
};

// Also for the admin API.
v1::Residency ToProto(Residency residency);
void SetDuration(absl::Duration from, google::protobuf::Duration* to);

OutputParams ToOutputParams(const v1::OutputOptions& options);

v1::Started ToProto(const StreamStarted& started);
v1::Delta ToProto(const StreamDelta& delta, const OutputParams& output);
v1::Finished ToProto(const StreamFinished& finished, const OutputParams& output);

// For final_only: adds a piece of an answer to the choice that it belongs to; fills in how the
// request ended. Together they make one message, in whatever order the choices grew.
void AddToWhole(const StreamDelta& delta, const OutputParams& output, v1::Finished* whole);
void FinishWhole(const StreamFinished& finished, const OutputParams& output, v1::Finished* whole);

v1::UsableAdapter ToProto(const AdapterSummary& adapter);

}  // namespace lamella
