// Tells streams what was committed: starts, deltas, ends. Changes no request but for what was told.
// The loop's thread alone.
#pragma once

#include "server/engine/sequence.h"
#include "server/telemetry/metrics.h"

namespace lamella {

class Publisher {
 public:
  // `metrics` is borrowed.
  explicit Publisher(const Metrics* metrics) : metrics_(metrics) {}

  // What is new of one choice; before its first delta, the start of the stream. A reader that is too
  // slow fails the request.
  void News(Sequence* sequence) const;

  // The one terminal event of an ended request.
  void End(ActiveRequest* request) const;

 private:
  void Start(ActiveRequest* request) const;

  const Metrics* const metrics_;
};

}  // namespace lamella
