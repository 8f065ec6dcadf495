#include "tests/bench/load/record.h"

#include <algorithm>

#include "common/base/error.h"

namespace lamella::bench {

const char* AdapterClassName(AdapterClass value) {
  switch (value) {
    case AdapterClass::kBase:
      return "base";
    case AdapterClass::kResident:
      return "resident";
    case AdapterClass::kWarm:
      return "warm";
    case AdapterClass::kCold:
      return "cold";
  }
  return "";
}

bool Record::refused() const {
  return !status.ok() && arrivals.empty() && !absl::IsInternal(status) &&
         !ErrorReason(status).empty();
}

int32_t Record::tokens() const {
  int32_t sum = 0;
  for (const TokenArrival& arrival : arrivals) sum += arrival.tokens;
  return sum;
}

absl::Duration Record::per_token() const {
  if (arrivals.size() < 2) return absl::ZeroDuration();
  return (arrivals.back().at - arrivals.front().at) / (tokens() - arrivals.front().tokens);
}

void Classify(const std::set<int32_t>& resident, std::vector<Record>* records) {
  std::map<int32_t, absl::Duration> loaded_at;
  for (const int32_t adapter : resident) loaded_at[adapter] = -absl::InfiniteDuration();
  for (const Record& record : *records) {
    if (record.arrivals.empty()) continue;
    const absl::Duration at = record.arrivals.front().at;
    const auto [entry, inserted] = loaded_at.try_emplace(record.plan.adapter, at);
    if (!inserted) entry->second = std::min(entry->second, at);
  }
  std::set<int32_t> known = resident;
  for (Record& record : *records) {
    if (record.arrivals.empty()) continue;
    const bool first = known.insert(record.plan.adapter).second;
    const bool waited = record.adapter_wait > absl::ZeroDuration();
    if (record.plan.adapter == kBaseModel) {
      record.adapter_class = AdapterClass::kBase;
    } else if (waited && loaded_at.at(record.plan.adapter) < record.sent) {
      record.adapter_class = AdapterClass::kWarm;
    } else {
      record.adapter_class = first || waited ? AdapterClass::kCold : AdapterClass::kResident;
    }
  }
}

std::map<std::string, int64_t> CountReasons(const std::vector<Record>& records, Ending ending) {
  std::map<std::string, int64_t> counts;
  for (const Record& record : records) {
    if (record.finished() || record.refused() != (ending == Ending::kRefused)) continue;
    const std::string reason = ErrorReason(record.status);
    ++counts[reason.empty() ? absl::StatusCodeToString(record.status.code()) : reason];
  }
  return counts;
}

}  // namespace lamella::bench
