// Makes a Metrics whose handles keep values, and shows the values: as text, and to a scraper over
// HTTP. Owned by the composition root; must outlive every room that holds its Metrics. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/tenant_gauges.h"

namespace prometheus {
class Collectable;
class Registry;
}  // namespace prometheus

namespace lamella {

// Labels of lamella_build_info, whose value is always 1.
struct BuildInfo {
  std::string version;
  std::string isa;
  std::string dtype;
};

struct MetricsOptions {
  int32_t most_tenants = 64;    // with series of their own; 0: all under "other"
  int32_t most_adapters = 128;  // the same, and names in a label of vllm:lora_requests_info
  bool vllm_names = true;       // also under the names that vLLM gives its own
  std::string model_name;       // of those, the label `model_name`
};

class MetricsRegistry {
 public:
  explicit MetricsRegistry(const MetricsOptions& options = {});
  ~MetricsRegistry();
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  Metrics* metrics() { return &metrics_; }
  const Metrics* metrics() const { return &metrics_; }

  void SetBuildInfo(const BuildInfo& info);

  // Who knows what tenants have, until another one is set; called by whoever collects.
  void SetTenantSource(TenantSource source);

  // In Prometheus' text format.
  std::string Text() const;

  // All that there is to collect.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  class Everything;

  std::shared_ptr<prometheus::Registry> registry_;
  Metrics metrics_;
  std::shared_ptr<Everything> everything_;
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
