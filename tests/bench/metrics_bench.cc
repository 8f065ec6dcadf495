// lamella-metrics-bench [--adapters=10000] [--tenants=1000] [--scrapes=50] [--json]
//
// What one scrape costs when requests to so many adapters of so many tenants were counted: time over
// HTTP on loopback from a listener as the server has it, size, and how many series there are.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/time/clock.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/testing/http_get.h"

ABSL_FLAG(int32_t, adapters, 10'000, "adapters that had requests");
ABSL_FLAG(int32_t, tenants, 1'000, "tenants that have them");
ABSL_FLAG(int32_t, scrapes, 50, "measured, one after the other");
ABSL_FLAG(bool, json, false, "print JSON");

namespace lamella {
namespace {

void CountRequests(const Metrics& metrics, int32_t adapters, int32_t tenants) {
  for (int32_t i = 0; i < adapters; ++i) {
    const std::string tenant = "tenant-" + std::to_string(i % tenants);
    const std::string adapter = "adapter-" + std::to_string(i);
    metrics.by_tenant.Add(tenant, TenantCount::kRequests);
    metrics.by_tenant.Add(tenant, TenantCount::kGeneratedTokens, 16);
    metrics.by_adapter.Add(tenant, adapter, AdapterCount::kRequests);
    metrics.by_adapter.Add(tenant, adapter, AdapterCount::kGeneratedTokens, 16);
    metrics.by_adapter.Add(tenant, adapter, AdapterCount::kLoads);
    metrics.request_seconds.Observe(0.001 * i);
  }
}

int Run(int32_t adapters, int32_t tenants, int32_t scrapes, bool json) {
  MetricsRegistry registry({.model_name = "model"});
  CountRequests(*registry.metrics(), adapters, tenants);
  const auto exposer = MetricsExposer::Start("127.0.0.1:0", registry);
  if (!exposer.ok()) {
    std::fprintf(stderr, "lamella-metrics-bench: %s\n", exposer.status().ToString().c_str());
    return 1;
  }
  std::vector<double> seconds;
  std::string body;
  for (int32_t i = 0; i < scrapes; ++i) {
    const absl::Time begin = absl::Now();
    body = testing::HttpGet((*exposer)->port(), "/metrics");
    seconds.push_back(absl::ToDoubleSeconds(absl::Now() - begin));
  }
  if (body.empty()) {
    std::fprintf(stderr, "lamella-metrics-bench: the listener did not answer\n");
    return 1;
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = 1e3 * seconds[seconds.size() / 2], worst = 1e3 * seconds.back();
  int64_t series = 0;
  for (size_t at = 0; at < body.size(); at = body.find('\n', at) + 1) series += body[at] != '#';
  std::printf(json ? "{\"adapters\": %d, \"scrapes\": %d, \"median_ms\": %.3f, \"worst_ms\": %.3f, "
                     "\"bytes\": %zu, \"series\": %lld}\n"
                   : "%d adapters, %d scrapes: median %.3f ms, worst %.3f ms, %zu bytes, %lld "
                     "series\n",
              adapters, scrapes, median, worst, body.size(), static_cast<long long>(series));
  return 0;
}

}  // namespace
}  // namespace lamella

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const int32_t adapters = absl::GetFlag(FLAGS_adapters), tenants = absl::GetFlag(FLAGS_tenants);
  const int32_t scrapes = absl::GetFlag(FLAGS_scrapes);
  if (adapters < 1 || tenants < 1 || scrapes < 1) {
    std::fprintf(stderr, "lamella-metrics-bench: numbers must be at least 1\n");
    return 2;
  }
  return lamella::Run(adapters, tenants, scrapes, absl::GetFlag(FLAGS_json));
}
