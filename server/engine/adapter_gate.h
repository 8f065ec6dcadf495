// Gets pins for requests: asks for one load when a request is admitted, tries to pin once that
// load has settled, and asks again, at a bounded rate, when the version was evicted meanwhile or
// found the cache full of pins. Holds no pin itself. The loop's thread alone, but for RequestLoad;
// loads settle on any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/core/adapter_residency.h"
#include "server/engine/sequence.h"

namespace lamella {

class AdapterGate {
 public:
  // `wake` is called on any thread whenever a load settles, also after this object is gone.
  AdapterGate(AdapterResidency* residency, absl::Duration retry, std::function<void()> wake);

  // The request was admitted: its load need not wait for the step that runs now. From any thread.
  // The flag is set once the load has settled; null for the base.
  std::shared_ptr<std::atomic<bool>> RequestLoad(const AdapterRef& adapter) const;

  // Whether TryPin is worth a try: no load is under way. Keeps the time that the request waits for
  // its adapter, so it is asked for every waiting request in every step.
  bool Observe(ActiveRequest* request, absl::Time now);

  // A pin (an empty one for the base); nothing if the request must wait; the reason why the load
  // failed for good. It may use up what the residency keeps for a first use, so everything else that
  // the request needs comes first.
  absl::StatusOr<std::optional<AdapterPin>> TryPin(ActiveRequest* request, absl::Time now);

  // Of a request that waits for its adapter: ADAPTER_CACHE_FULL or ADAPTER_LOADING, to be retried
  // after about as long as it has waited.
  absl::Status StillWaiting(const ActiveRequest& request, absl::Time now) const;

  // The next moment at which TryPin has something new to try without a load settling.
  static absl::Time NextEvent(const ActiveRequest& request);

 private:
  AdapterResidency* const residency_;
  const absl::Duration retry_;
  const std::function<void()> wake_;
};

}  // namespace lamella
