// Tells streams what was committed: starts, deltas, ends. Changes no request but for what was told.
// The loop's thread alone.
#pragma once

#include "absl/time/time.h"
#include "server/core/request_record.h"
#include "server/engine/sequence.h"
#include "server/telemetry/metrics.h"

namespace lamella {

class Publisher {
 public:
  // Both are borrowed; `recorder` may be null.
  Publisher(const Metrics* metrics, RequestRecorder* recorder)
      : metrics_(metrics), recorder_(recorder) {}

  // What is new of one choice; before its first delta, the start of the stream. A reader that is too
  // slow fails the request.
  void News(Sequence* sequence) const;

  // The one terminal event of an ended request, counted and recorded.
  void End(ActiveRequest* request, absl::Time now) const;

 private:
  void Start(ActiveRequest* request) const;

  const Metrics* const metrics_;
  RequestRecorder* const recorder_;
};

}  // namespace lamella
