#include "server/telemetry/bounded_counters.h"

#include <prometheus/metric_family.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_split.h"

namespace lamella {
namespace {

prometheus::ClientMetric Series(const std::vector<std::string>& labels, std::string_view name,
                                double value) {
  prometheus::ClientMetric metric;
  const std::vector<std::string> values =
      absl::StrSplit(std::string(name), BoundedCounters::kSeparator);
  for (size_t i = 0; i < labels.size(); ++i) {
    metric.label.push_back({labels[i], i < values.size() ? values[i] : BoundedCounters::kOther});
  }
  metric.counter.value = value;
  return metric;
}

}  // namespace

BoundedCounters::BoundedCounters(BoundedCountersOptions options)
    : options_(std::move(options)), other_(NewEntry()) {}

BoundedCounters::Entries::iterator BoundedCounters::LeastRecent(Entries* entries) {
  return std::min_element(entries->begin(), entries->end(), [](const auto& a, const auto& b) {
    return a.second.used < b.second.used;
  });
}

BoundedCounters::Entry* BoundedCounters::Place(std::string_view name, absl::Time now) {
  if (name == kOther || options_.most == 0) return nullptr;
  const auto found = places_.find(name);
  if (found != places_.end()) return &found->second;
  if (places_.size() >= options_.most) {
    const auto idle = LeastRecent(&places_);
    if (now - idle->second.used < options_.keep) return nullptr;
    for (size_t i = 0; i < other_.counts.size(); ++i) {
      other_.counts[i] += idle->second.counts[i];
    }
    places_.erase(idle);
  }
  return &places_.emplace(name, NewEntry()).first->second;
}

void BoundedCounters::Add(std::string_view name, int count, double by) {
  const absl::Time now = options_.now();
  const auto index = static_cast<size_t>(count);
  MutexLock lock(&mutex_);
  Entry* place = Place(name, now);
  if (place == nullptr) place = &other_;
  place->counts[index] += by;
  place->used = now;
  if (options_.most_totals == 0) return;
  auto total = totals_.find(name);
  if (total == totals_.end()) {
    if (totals_.size() >= options_.most_totals) totals_.erase(LeastRecent(&totals_));
    total = totals_.emplace(name, NewEntry()).first;
  }
  total->second.counts[index] += by;
  total->second.used = now;
}

std::vector<double> BoundedCounters::TotalsOf(std::string_view name) const {
  MutexLock lock(&mutex_);
  const auto found = totals_.find(name);
  return found == totals_.end() ? std::vector<double>() : found->second.counts;
}

std::vector<std::string> BoundedCounters::Names() const {
  std::vector<std::string> names;
  MutexLock lock(&mutex_);
  for (const auto& [name, entry] : places_) names.push_back(name);
  return names;
}

std::vector<prometheus::MetricFamily> BoundedCounters::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  for (const BoundedCountersOptions::Count& count : options_.counts) {
    prometheus::MetricFamily& family = families.emplace_back();
    family.name = count.name;
    family.help = count.help;
    family.type = prometheus::MetricType::Counter;
  }
  MutexLock lock(&mutex_);
  for (size_t i = 0; i < families.size(); ++i) {
    for (const auto& [name, entry] : places_) {
      families[i].metric.push_back(Series(options_.labels, name, entry.counts[i]));
    }
    families[i].metric.push_back(Series(options_.labels, kOther, other_.counts[i]));
  }
  return families;
}

}  // namespace lamella
