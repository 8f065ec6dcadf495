#include "tests/bench/load/interference.h"

#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/admin_client.h"
#include "common/base/status_macros.h"
#include "tests/bench/load/summary.h"
#include "tests/bench/statistics.h"

namespace lamella::bench {
namespace {

constexpr int32_t kPromptTokens = 16;

// Loads the adapters that have no stream, one after the other and from the first again.
class Loader {
 public:
  static absl::StatusOr<Loader> Create(const InterferenceOptions& options) {
    Loader loader;
    ASSIGN_OR_RETURN(loader.admin_, client::AdminClient::Connect(
                                        {.admin = options.admin, .key = options.client.key}));
    for (int32_t i = options.streams; i < options.adapters; ++i) {
      const std::string name = absl::StrCat(options.client.adapter_prefix, i);
      ASSIGN_OR_RETURN(const auto versions, loader.admin_->ListVersions(name));
      if (versions.empty()) return absl::NotFoundError(absl::StrCat(name, " has no version"));
      loader.adapters_.push_back({name, versions.front().version});
      loader.adapter_bytes_ = versions.front().weights_bytes;
    }
    if (loader.adapters_.empty()) return absl::InvalidArgumentError("no adapter is left to load");
    return loader;
  }

  uint64_t adapter_bytes() const { return adapter_bytes_; }

  // Milliseconds of each load.
  absl::StatusOr<std::vector<double>> Run(absl::Time begin, absl::Time end, absl::Duration every) {
    std::vector<double> took_ms;
    for (absl::Time at = begin + every / 2; at < end; at += every) {
      absl::SleepFor(at - absl::Now());
      const auto& [name, version] = adapters_[next_++ % adapters_.size()];
      ASSIGN_OR_RETURN(const client::Version before, admin_->GetVersion(name, version));
      if (before.residency != "disk") {
        return absl::FailedPreconditionError(absl::StrCat(
            name, " was in memory already: the adapter cache is too large for so few adapters"));
      }
      const absl::Time asked = absl::Now();
      RETURN_IF_ERROR(admin_->Warm(name, version).status());
      took_ms.push_back(absl::ToDoubleMilliseconds(absl::Now() - asked));
    }
    return took_ms;
  }

 private:
  std::unique_ptr<client::AdminClient> admin_;
  std::vector<std::pair<std::string, std::string>> adapters_;  // name, version
  uint64_t adapter_bytes_ = 0;
  size_t next_ = 0;
};

WorkloadOptions SteadyStreams(const InterferenceOptions& options) {
  WorkloadOptions streams;
  streams.adapters = options.streams;
  streams.popularity = Popularity::kDistinct;
  streams.prompt_tokens = {kPromptTokens, kPromptTokens};
  streams.answer_tokens = {options.answer_tokens, options.answer_tokens};
  return streams;
}

absl::Status CheckStreams(const std::vector<Record>& records, absl::Duration end) {
  for (const Record& record : records) {
    if (record.ended >= end) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("a stream ended after ", absl::FormatDuration(record.ended), ": ",
                     record.finished() ? "its answer was too short" : record.status.ToString()));
  }
  return absl::OkStatus();
}

absl::StatusOr<InterferenceRound> MeasureRound(const InterferenceOptions& options, bool quiet_first,
                                               LoadClient* client, Loader* loader) {
  Window quiet{options.settle, options.settle + options.phase};
  Window loading{quiet.end, quiet.end + options.phase};
  if (!quiet_first) std::swap(quiet, loading);
  const absl::Duration end = options.settle + 2 * options.phase;
  const absl::Time begin = absl::Now();
  absl::StatusOr<std::vector<double>> loads;
  std::thread thread([&] {
    loads = loader->Run(begin + loading.begin, begin + loading.end,
                        absl::Seconds(1) / options.loads_per_second);
  });
  Workload workload(SteadyStreams(options));
  const std::vector<Record> records =
      client->Run(Schedule::Open(std::vector<absl::Duration>(static_cast<size_t>(options.streams))),
                  &workload, end);
  thread.join();
  RETURN_IF_ERROR(loads.status());
  RETURN_IF_ERROR(CheckStreams(records, end));
  const std::vector<double> quiet_ms = GapsWithin(records, quiet);
  const std::vector<double> loading_ms = GapsWithin(records, loading);
  return InterferenceRound{Percentile(quiet_ms, 0.5), Percentile(quiet_ms, 0.99),
                           Percentile(loading_ms, 0.5), Percentile(loading_ms, 0.99), *loads};
}

}  // namespace

std::vector<double> InterferenceReport::PairRatios() const {
  std::vector<double> ratios;
  for (const InterferenceRound& round : rounds) {
    ratios.push_back(round.loading_p99_ms / round.quiet_p99_ms);
  }
  return GeometricMeansOfPairs(ratios);
}

absl::StatusOr<InterferenceReport> MeasureInterference(const InterferenceOptions& options) {
  ASSIGN_OR_RETURN(Loader loader, Loader::Create(options));
  ASSIGN_OR_RETURN(const auto client, LoadClient::Connect(options.client));
  InterferenceReport report;
  report.adapter_bytes = loader.adapter_bytes();
  for (int32_t i = 0; i < 2 * options.pairs; ++i) {
    ASSIGN_OR_RETURN(InterferenceRound round,
                     MeasureRound(options, i % 2 == 0, client.get(), &loader));
    if (round.quiet_p99_ms <= 0 || round.loading_p99_ms <= 0) {
      return absl::FailedPreconditionError("a phase was too short for two tokens of a stream");
    }
    report.rounds.push_back(std::move(round));
  }
  return report;
}

}  // namespace lamella::bench
