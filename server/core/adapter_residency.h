// The engine's view of adapters in memory. `lora` implements it; the engine never sees weights,
// only pins that keep them alive. Thread-safe; no call blocks on I/O.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "server/core/adapter_ref.h"

namespace lamella {

class AdapterWeights;  // defined in server/lora; opaque here and in the engine

// Keeps one resident version alive and in place: while a pin exists its weights are neither evicted
// nor freed. Move-only; the destructor lets go. A default-constructed pin holds nothing.
class AdapterPin {
 public:
  AdapterPin() = default;
  // `weights` keeps the residency alive until its last copy dies.
  AdapterPin(AdapterRef ref, std::shared_ptr<const AdapterWeights> weights)
      : ref_(std::move(ref)), weights_(std::move(weights)) {}
  AdapterPin(AdapterPin&&) = default;
  AdapterPin& operator=(AdapterPin&&) = default;
  AdapterPin(const AdapterPin&) = delete;
  AdapterPin& operator=(const AdapterPin&) = delete;

  explicit operator bool() const { return weights_ != nullptr; }
  const AdapterRef& ref() const { return ref_; }
  const AdapterWeights* weights() const { return weights_.get(); }

 private:
  AdapterRef ref_;
  std::shared_ptr<const AdapterWeights> weights_;
};

class AdapterResidency {
 public:
  virtual ~AdapterResidency() = default;

  // Makes sure that a load of `ref` is under way or done; all callers of one version share one
  // load. `on_settled` runs once, on any thread and possibly before this returns, when TryPin has a
  // new answer. It must not block and must outlive the load.
  virtual void RequestLoad(const AdapterRef& ref, std::function<void()> on_settled) = 0;

  // A pin if `ref` is resident. Otherwise: UNAVAILABLE (ADAPTER_LOADING) while a load is under way
  // or none was requested; RESOURCE_EXHAUSTED (ADAPTER_CACHE_FULL) if pins fill the cache now; any
  // other code is why the load failed, for good. A question: it starts nothing.
  virtual absl::StatusOr<AdapterPin> TryPin(const AdapterRef& ref) = 0;
};

}  // namespace lamella
