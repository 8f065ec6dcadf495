#include "tests/bench/load/summary.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/bench/statistics.h"

namespace lamella::bench {
namespace {

double Ms(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

bool Within(absl::Duration at, const Window& window) {
  return window.begin <= at && at < window.end;
}

int64_t Sum(const std::map<std::string, int64_t>& counts) {
  int64_t sum = 0;
  for (const auto& [reason, count] : counts) sum += count;
  return sum;
}

bool Meets(const Record& record, const Objectives& objectives) {
  return record.finished() && !record.arrivals.empty() &&
         record.first_token() <= objectives.first_token &&
         record.per_token() <= objectives.per_token;
}

double Share(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// Of what finished; every class if `only` is nothing.
ClassSummary SummarizeClass(const std::vector<Record>& records, std::string name,
                            std::optional<AdapterClass> only) {
  std::vector<double> first, per_token, between;
  for (const Record& record : records) {
    if (!record.finished() || record.arrivals.empty()) continue;
    if (only.has_value() && record.adapter_class != *only) continue;
    first.push_back(Ms(record.first_token()));
    if (record.arrivals.size() < 2) continue;
    per_token.push_back(Ms(record.per_token()));
    for (size_t i = 1; i < record.arrivals.size(); ++i) {
      between.push_back(Ms(record.arrivals[i].at - record.arrivals[i - 1].at));
    }
  }
  return {std::move(name), static_cast<int64_t>(first.size()), PercentilesOf(first),
          PercentilesOf(per_token), PercentilesOf(between)};
}

// What the server did within the window, whenever it was asked to.
void CountWork(const std::vector<Record>& records, const Window& window, Summary* summary) {
  int64_t tokens = 0;
  int64_t messages = 0;
  int64_t finished = 0;
  for (const Record& record : records) {
    if (record.finished() && Within(record.ended, window)) ++finished;
    for (const TokenArrival& arrival : record.arrivals) {
      if (!Within(arrival.at, window)) continue;
      tokens += arrival.tokens;
      ++messages;
    }
  }
  const double seconds = absl::ToDoubleSeconds(window.end - window.begin);
  summary->tokens_per_second = static_cast<double>(tokens) / seconds;
  summary->finished_per_second = static_cast<double>(finished) / seconds;
  summary->tokens_per_message = Share(tokens, messages);
}

void CountRequests(const std::vector<Record>& counted, const Window& window,
                   const Objectives& objectives, Summary* summary) {
  int64_t good = 0;
  std::vector<double> late, refusals;
  for (const Record& record : counted) {
    late.push_back(Ms(record.sent - record.due));
    if (record.refused()) refusals.push_back(Ms(record.ended - record.sent));
    if (Meets(record, objectives)) ++good;
    if (!record.finished()) continue;
    ++summary->finished;
    if (record.tokens() != record.plan.answer_tokens) ++summary->wrong_length;
  }
  summary->sent = static_cast<int64_t>(counted.size());
  summary->refused = CountReasons(counted, Ending::kRefused);
  summary->failed = CountReasons(counted, Ending::kFailed);
  summary->refused_count = Sum(summary->refused);
  summary->failed_count = Sum(summary->failed);
  const double seconds = absl::ToDoubleSeconds(window.end - window.begin);
  summary->offered_per_second = static_cast<double>(summary->sent) / seconds;
  summary->goodput_per_second = static_cast<double>(good) / seconds;
  summary->attainment = Share(good, summary->sent);
  summary->attainment_of_accepted = Share(good, summary->sent - summary->refused_count);
  summary->sent_late_ms = PercentilesOf(late);
  summary->refusal_ms = PercentilesOf(refusals);
}

}  // namespace

std::vector<double> GeometricMeansOfPairs(const std::vector<double>& values) {
  std::vector<double> means;
  for (size_t i = 0; i + 1 < values.size(); i += 2) {
    means.push_back(std::sqrt(values[i] * values[i + 1]));
  }
  return means;
}

Percentiles PercentilesOf(const std::vector<double>& values) {
  return {static_cast<int64_t>(values.size()), Percentile(values, 0.5), Percentile(values, 0.9),
          Percentile(values, 0.95), Percentile(values, 0.99)};
}

Summary Summarize(const std::vector<Record>& records, const Window& window,
                  const Objectives& objectives) {
  std::vector<Record> counted;
  std::copy_if(records.begin(), records.end(), std::back_inserter(counted),
               [&](const Record& record) { return Within(record.due, window); });
  Summary summary;
  CountWork(records, window, &summary);
  CountRequests(counted, window, objectives, &summary);
  summary.classes.push_back(SummarizeClass(counted, "all", std::nullopt));
  for (const AdapterClass each :
       {AdapterClass::kBase, AdapterClass::kResident, AdapterClass::kWarm, AdapterClass::kCold}) {
    ClassSummary of = SummarizeClass(counted, AdapterClassName(each), each);
    if (of.requests > 0) summary.classes.push_back(std::move(of));
  }
  return summary;
}

std::vector<double> GapsWithin(const std::vector<Record>& records, const Window& window) {
  std::vector<double> gaps;
  for (const Record& record : records) {
    for (size_t i = 1; i < record.arrivals.size(); ++i) {
      if (!Within(record.arrivals[i].at, window)) continue;
      gaps.push_back(Ms(record.arrivals[i].at - record.arrivals[i - 1].at));
    }
  }
  return gaps;
}

}  // namespace lamella::bench
