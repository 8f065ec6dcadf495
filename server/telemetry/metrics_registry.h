// Makes a Metrics whose handles keep values, and shows the values: as text, and to a scraper over
// HTTP. Owned by the composition root; must outlive every room that holds its Metrics. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/telemetry/metrics.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace lamella {

// Labels of lamella_build_info, whose value is always 1.
struct BuildInfo {
  std::string version;
  std::string isa;
  std::string dtype;
};

class MetricsRegistry {
 public:
  MetricsRegistry();
  ~MetricsRegistry();
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  Metrics* metrics() { return &metrics_; }

  void SetBuildInfo(const BuildInfo& info);

  // In Prometheus' text format.
  std::string Text() const;

  std::shared_ptr<prometheus::Registry> registry() const { return registry_; }

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  Metrics metrics_;
};

// Serves GET /metrics until it is destroyed.
class MetricsExposer {
 public:
  // `address` is HOST:PORT; port 0 takes a free one. UNAVAILABLE (PORT_IN_USE) if it cannot listen
  // there.
  static absl::StatusOr<std::unique_ptr<MetricsExposer>> Start(const std::string& address,
                                                               const MetricsRegistry& registry);
  ~MetricsExposer();
  MetricsExposer(const MetricsExposer&) = delete;
  MetricsExposer& operator=(const MetricsExposer&) = delete;

  int port() const;

 private:
  struct Impl;
  explicit MetricsExposer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella
