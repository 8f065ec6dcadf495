#include <prometheus/collectable.h>
#include <prometheus/exposer.h>

#include "common/base/error.h"
#include "common/base/reasons.h"
#include "server/telemetry/metrics_registry.h"

namespace lamella {

struct MetricsExposer::Impl {
  explicit Impl(const std::string& address) : exposer(address, /*num_threads=*/1) {}
  prometheus::Exposer exposer;
};

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Start(
    const std::string& address, const MetricsRegistry& registry) {
  try {
    auto impl = std::make_unique<Impl>(address);
    impl->exposer.RegisterCollectable(registry.collectable());
    return std::unique_ptr<MetricsExposer>(new MetricsExposer(std::move(impl)));
  } catch (const std::exception&) {  // its message names neither address nor cause
    return MakeError(absl::StatusCode::kUnavailable, reasons::kPortInUse, "metrics_listen",
                     "metrics_listen: cannot listen on " + address +
                         ": the port is in use or the address is not of this machine");
  }
}

MetricsExposer::MetricsExposer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricsExposer::~MetricsExposer() = default;

int MetricsExposer::port() const { return impl_->exposer.GetListeningPorts().front(); }

}  // namespace lamella
