// What an ended request is written down as: its record and its share of the metrics.
#pragma once

#include "absl/time/time.h"
#include "server/core/request_record.h"
#include "server/engine/sequence.h"
#include "server/telemetry/metrics.h"

namespace lamella {

// Of an ended request; before its stream is told of the end, which takes what it tells.
RequestRecord RecordOf(const ActiveRequest& request, absl::Time now);

// Counts the tokens generated since the last call to the request's tenant and adapter.
void CountGenerated(ActiveRequest* request, const Metrics& metrics);

// Counts an end. Once for each request, after the last CountGenerated.
void CountEnd(const RequestRecord& record, const Metrics& metrics);

}  // namespace lamella
