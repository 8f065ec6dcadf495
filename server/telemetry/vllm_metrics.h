// The metrics of this server under the names that vLLM gives its own, so that dashboards and
// routers made for vLLM work here (`vllm:num_requests_waiting`, `vllm:lora_requests_info`, ...).
// Counters and gauges are read from Metrics when they are collected; histograms have vLLM's buckets
// and mirror ours. One model, so `model_name` is a constant label. Thread-safe.
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/histogram.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "server/telemetry/metrics.h"

namespace lamella {

class VllmMetrics final : public prometheus::Collectable {
 public:
  // `metrics` is borrowed; its histograms are mirrored from now on, so this comes before rooms copy
  // it. `most_adapters`: names in one label of vllm:lora_requests_info.
  VllmMetrics(Metrics* metrics, std::string model_name, size_t most_adapters);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  class AtWork;
  enum HistogramIndex {
    kFirstToken,
    kInterToken,
    kEndToEnd,
    kQueue,
    kInference,
    kPrefill,
    kDecode,
    kPromptTokens,
    kGeneratedTokens,
    kIterationTokens,
    kHistograms
  };

  prometheus::ClientMetric Labelled() const;
  void AddGauges(std::vector<prometheus::MetricFamily>* families) const;
  void AddCounters(std::vector<prometheus::MetricFamily>* families) const;
  void AddHistograms(std::vector<prometheus::MetricFamily>* families) const;

  const Metrics* const metrics_;
  const std::string model_name_;
  std::array<std::unique_ptr<prometheus::Histogram>, kHistograms> histograms_;
  std::shared_ptr<AtWork> at_work_;
};

}  // namespace lamella
