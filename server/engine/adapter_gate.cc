#include "server/engine/adapter_gate.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella {
namespace {

bool IsForNow(const absl::Status& status) {
  const std::string reason = ErrorReason(status);
  return reason == reasons::kAdapterLoading || reason == reasons::kAdapterCacheFull;
}

}  // namespace

AdapterGate::AdapterGate(AdapterResidency* residency, absl::Duration retry,
                         std::function<void()> wake)
    : residency_(residency), retry_(retry), wake_(std::move(wake)) {}

std::shared_ptr<std::atomic<bool>> AdapterGate::RequestLoad(const AdapterRef& adapter) const {
  if (adapter.is_base()) return nullptr;
  // A new flag each time: a late callback of an earlier load must not settle this one.
  auto settled = std::make_shared<std::atomic<bool>>(false);
  residency_->RequestLoad(adapter, [settled, wake = wake_] {
    settled->store(true, std::memory_order_release);
    wake();
  });
  return settled;
}

bool AdapterGate::Observe(ActiveRequest* request, absl::Time now) {
  if (request->adapter.is_base()) return true;
  AdapterWait& wait = request->adapter_wait;
  if (wait.retry_at.has_value() && now >= *wait.retry_at) {
    wait.retry_at.reset();
    wait.settled = RequestLoad(request->adapter);
  }
  if (wait.retry_at.has_value() || !wait.settled->load(std::memory_order_acquire)) {
    if (!wait.since.has_value()) wait.since = now;
    return false;
  }
  if (wait.since.has_value()) request->times.adapter_wait += now - *wait.since;
  wait.since.reset();
  return true;
}

absl::StatusOr<std::optional<AdapterPin>> AdapterGate::TryPin(ActiveRequest* request,
                                                              absl::Time now) {
  using MaybePin = std::optional<AdapterPin>;
  if (request->adapter.is_base()) return MaybePin(AdapterPin());
  if (!Observe(request, now)) return MaybePin();
  absl::StatusOr<AdapterPin> pin = residency_->TryPin(request->adapter);
  if (pin.ok()) {
    // The right adapter or no answer.
    if (!pin->ref().SameWeights(request->adapter)) {
      return MakeError(absl::StatusCode::kInternal, reasons::kInternal, "adapter_id",
                       "the adapter cache answered with another version");
    }
    return MaybePin(*std::move(pin));
  }
  if (!IsForNow(pin.status())) return pin.status();
  request->adapter_wait.retry_at = now + retry_;
  request->adapter_wait.since = now;
  return MaybePin();
}

absl::Status AdapterGate::StillWaiting(const ActiveRequest& request, absl::Time now) const {
  const absl::Duration waited = now - request.adapter_wait.since.value_or(now);
  const std::string reason = ErrorReason(residency_->TryPin(request.adapter).status());
  const bool full = reason == reasons::kAdapterCacheFull;
  return MakeRetryableError(
      full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kUnavailable,
      full ? reasons::kAdapterCacheFull : reasons::kAdapterLoading,
      std::string(full ? "adapters in use fill the adapter cache"
                       : "the adapter is not in memory yet") +
          ": waited " + absl::FormatDuration(waited),
      std::max(waited, retry_));
}

absl::Time AdapterGate::NextEvent(const ActiveRequest& request) {
  return request.adapter_wait.retry_at.value_or(absl::InfiniteFuture());
}

}  // namespace lamella
