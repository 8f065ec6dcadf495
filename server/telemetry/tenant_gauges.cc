#include "server/telemetry/tenant_gauges.h"

#include <prometheus/metric_family.h>

#include <array>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "server/telemetry/bounded_counters.h"

namespace lamella {
namespace {

struct Family {
  const char* name;
  const char* help;
  int64_t (*value)(const TenantStanding&);
};

constexpr std::array<Family, 5> kHoldings = {{
    {"lamella_tenant_in_flight", "Requests accepted and not ended.",
     [](const TenantStanding& s) { return int64_t{s.load.in_flight}; }},
    {"lamella_tenant_queued_tokens", "Tokens of prompts accepted and not yet in a step.",
     [](const TenantStanding& s) { return s.load.queued_tokens; }},
    {"lamella_tenant_stored_bytes", "Bytes of weights files in the store.",
     [](const TenantStanding& s) { return s.stored_bytes; }},
    {"lamella_tenant_stored_versions", "Versions in the store.",
     [](const TenantStanding& s) { return s.stored_versions; }},
    {"lamella_tenant_uploaded_today_bytes", "Bytes of files uploaded today, in UTC.",
     [](const TenantStanding& s) { return s.uploaded_today_bytes; }},
}};

constexpr std::array<Family, 6> kLimits = {{
    {"lamella_tenant_in_flight_limit", "The most requests in flight.",
     [](const TenantStanding& s) { return int64_t{s.limits.max_in_flight}; }},
    {"lamella_tenant_queued_tokens_limit", "The most tokens of prompts that wait.",
     [](const TenantStanding& s) { return s.limits.max_queued_tokens; }},
    {"lamella_tenant_tokens_per_minute_limit", "The most tokens of prompts and answers a minute.",
     [](const TenantStanding& s) { return s.limits.tokens_per_minute; }},
    {"lamella_tenant_stored_bytes_limit", "The most bytes of weights files in the store.",
     [](const TenantStanding& s) { return s.limits.max_stored_bytes; }},
    {"lamella_tenant_stored_versions_limit", "The most versions in the store.",
     [](const TenantStanding& s) { return s.limits.max_stored_versions; }},
    {"lamella_tenant_upload_bytes_per_day_limit", "The most bytes of files uploaded in a day.",
     [](const TenantStanding& s) { return s.limits.upload_bytes_per_day; }},
}};

void Add(const TenantStanding& from, TenantStanding* to) {
  to->load.in_flight += from.load.in_flight;
  to->load.queued_tokens += from.load.queued_tokens;
  to->stored_bytes += from.stored_bytes;
  to->stored_versions += from.stored_versions;
  to->uploaded_today_bytes += from.uploaded_today_bytes;
}

prometheus::MetricFamily Empty(const Family& family) {
  prometheus::MetricFamily out;
  out.name = family.name;
  out.help = family.help;
  out.type = prometheus::MetricType::Gauge;
  return out;
}

void AddSeries(const std::string& tenant, int64_t value, prometheus::MetricFamily* family) {
  prometheus::ClientMetric& metric = family->metric.emplace_back();
  metric.label.push_back({"tenant", tenant});
  metric.gauge.value = static_cast<double>(value);
}

}  // namespace

TenantGauges::TenantGauges(std::shared_ptr<const BoundedCounters> counters, size_t most)
    : counters_(std::move(counters)), most_(most) {}

void TenantGauges::SetSource(TenantSource source) {
  MutexLock lock(&mutex_);
  source_ = std::move(source);
}

std::vector<prometheus::MetricFamily> TenantGauges::Collect() const {
  TenantSource source;
  {
    MutexLock lock(&mutex_);
    source = source_;
  }
  std::map<std::string, TenantStanding> standings;
  if (source != nullptr) {
    for (TenantStanding& standing : source()) standings.emplace(standing.tenant, standing);
  }
  std::map<std::string, TenantStanding> own;
  for (const std::string& name : counters_->Names()) own.emplace(name, standings[name]);
  TenantStanding rest;
  for (const auto& [name, standing] : standings) {
    if (own.contains(name)) continue;
    if (own.size() < most_ && name != BoundedCounters::kOther) {
      own.emplace(name, standing);
    } else {
      Add(standing, &rest);
    }
  }
  std::vector<prometheus::MetricFamily> families;
  for (const Family& family : kHoldings) {
    prometheus::MetricFamily& out = families.emplace_back(Empty(family));
    for (const auto& [name, standing] : own) AddSeries(name, family.value(standing), &out);
    AddSeries(std::string(BoundedCounters::kOther), family.value(rest), &out);
  }
  for (const Family& family : kLimits) {
    prometheus::MetricFamily out = Empty(family);
    for (const auto& [name, standing] : own) {
      if (const int64_t limit = family.value(standing); limit > 0) AddSeries(name, limit, &out);
    }
    if (!out.metric.empty()) families.push_back(std::move(out));
  }
  return families;
}

}  // namespace lamella
