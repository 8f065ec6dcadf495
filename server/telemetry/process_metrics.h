// The metrics of a process that Prometheus' client libraries agree on: CPU time, memory, open
// files, start. Read from /proc when they are collected. Thread-safe.
#pragma once

#include <prometheus/collectable.h>

#include <vector>

namespace lamella {

class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace lamella
