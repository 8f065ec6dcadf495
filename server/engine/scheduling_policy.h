// Who is served first among those that wait. A policy orders and counts; it owns no sequence,
// reserves nothing and never decides how many fit. Owned by the scheduler; the loop's thread alone.
#pragma once

#include "server/engine/sequence.h"

namespace lamella {

class SchedulingPolicy {
 public:
  virtual ~SchedulingPolicy() = default;

  // A strict weak ordering that does not change while the scheduler sorts: true if `a` goes first.
  virtual bool Before(const Sequence& a, const Sequence& b) const = 0;
};

// First come, first served.
class FcfsPolicy final : public SchedulingPolicy {
 public:
  bool Before(const Sequence& a, const Sequence& b) const override { return a.arrival < b.arrival; }
};

}  // namespace lamella
