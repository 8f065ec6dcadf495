// Adapters in memory, as others see them: AdapterResidency is the engine's view, which never sees
// weights, only pins that keep them alive; AdapterResidencyAdmin is an administrator's. `lora`
// implements both. Thread-safe; no call blocks on I/O.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
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
  AdapterPin(AdapterRef ref, std::shared_ptr<const AdapterWeights> weights,
             int64_t loaded_bytes = 0)
      : ref_(std::move(ref)), weights_(std::move(weights)), loaded_bytes_(loaded_bytes) {}
  AdapterPin(AdapterPin&&) = default;
  AdapterPin& operator=(AdapterPin&&) = default;
  AdapterPin(const AdapterPin&) = delete;
  AdapterPin& operator=(const AdapterPin&) = delete;

  explicit operator bool() const { return weights_ != nullptr; }
  const AdapterRef& ref() const { return ref_; }
  const AdapterWeights* weights() const { return weights_.get(); }
  // What the load brought in whose first use this is; 0 of a later use. To be charged once.
  int64_t loaded_bytes() const { return loaded_bytes_; }

 private:
  AdapterRef ref_;
  std::shared_ptr<const AdapterWeights> weights_;
  int64_t loaded_bytes_ = 0;
};

class AdapterResidency {
 public:
  virtual ~AdapterResidency() = default;

  // Makes sure that a load of `ref` is under way or done; all callers of one version share one
  // load. `on_settled` runs once, on any thread and possibly before this returns, when the load has
  // ended, well or not; a load that waits for room has not. It must not block and must outlive the
  // load.
  virtual void RequestLoad(const AdapterRef& ref, std::function<void()> on_settled) = 0;

  // A pin if `ref` is resident. Otherwise: UNAVAILABLE (ADAPTER_LOADING) while a load is under way
  // or none was requested; RESOURCE_EXHAUSTED (ADAPTER_CACHE_FULL) if pins fill the cache now; any
  // other code is why the load failed, for good. A question: it starts nothing.
  virtual absl::StatusOr<AdapterPin> TryPin(const AdapterRef& ref) = 0;
};

// Told after each change, outside of locks and one call at a time, on any thread: where `ref` is
// now. Changes in quick succession may be told as one. Must not block.
using ResidencyListener = std::function<void(const AdapterRef& ref, Residency residency)>;

// What an administrator may do besides. Warming is RequestLoad.
class AdapterResidencyAdmin : public AdapterResidency {
 public:
  // A question: no use is recorded.
  virtual Residency ResidencyOf(const AdapterRef& ref) const = 0;
  // What a tenant's adapters take in memory, loads under way included. A question.
  virtual int64_t ResidentBytes(const std::string& tenant) const = 0;

  // Keeps `ref` in memory until UnpinByAdmin, or until the version is gone, and starts its load if
  // it is not there: RequestLoad says when that has settled. A load that fails leaves the pin: it
  // holds once a later load succeeds. Again is OK.
  //   RESOURCE_EXHAUSTED (PIN_LIMIT): such pins would take more of the cache than they may.
  //   NOT_FOUND, FAILED_PRECONDITION: what the catalogue says of a version that cannot be used.
  virtual absl::Status PinByAdmin(const AdapterRef& ref) = 0;
  // False if it was not pinned. It stays in memory as long as others keep it there.
  virtual bool UnpinByAdmin(const AdapterRef& ref) = 0;
};

}  // namespace lamella
