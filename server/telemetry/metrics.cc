#include "server/telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include "server/telemetry/bounded_counters.h"

namespace lamella {

void Counter::Increment(double by) const {
  if (counter_ != nullptr) counter_->Increment(by);
}

double Counter::Value() const { return counter_ == nullptr ? 0 : counter_->Value(); }

void Gauge::Set(double value) const {
  if (gauge_ != nullptr) gauge_->Set(value);
}

void Gauge::Add(double by) const {
  if (gauge_ != nullptr) gauge_->Increment(by);
}

double Gauge::Value() const { return gauge_ == nullptr ? 0 : gauge_->Value(); }

void Histogram::Observe(double value) const {
  if (histogram_ != nullptr) histogram_->Observe(value);
  if (mirror_ != nullptr) mirror_->Observe(value);
}

void CountersByTenant::Add(std::string_view tenant, TenantCount what, double by) const {
  if (counters_ != nullptr) counters_->Add(tenant, static_cast<int>(what), by);
}

std::vector<double> CountersByTenant::Of(std::string_view tenant) const {
  return counters_ == nullptr ? std::vector<double>() : counters_->TotalsOf(tenant);
}

void CountersByAdapter::Add(std::string_view tenant, std::string_view adapter, AdapterCount what,
                            double by) const {
  if (counters_ == nullptr) return;
  counters_->Add(std::string(tenant) + BoundedCounters::kSeparator + std::string(adapter),
                 static_cast<int>(what), by);
}

}  // namespace lamella
