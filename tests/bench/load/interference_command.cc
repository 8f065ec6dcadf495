// lamella-load interference --adapters=32 [--streams=8] [--loads_per_second=1] [--pairs=3]
//                           [--phase=10s]
//
// The waits between two tokens of the streams of resident adapters, with and without loads of other
// adapters beside them. The server's adapter cache must hold those of the streams and the loads of
// ten seconds, for which a load is kept unused, but not all: else nothing would be loaded.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "common/base/status_macros.h"
#include "tests/bench/bench_adapters.h"
#include "tests/bench/load/commands.h"
#include "tests/bench/load/interference.h"
#include "tests/bench/load/report.h"
#include "tests/bench/statistics.h"

ABSL_DECLARE_FLAG(std::string, server);
ABSL_DECLARE_FLAG(std::string, admin);
ABSL_DECLARE_FLAG(std::string, key);
ABSL_DECLARE_FLAG(std::string, adapter_prefix);
ABSL_DECLARE_FLAG(int32_t, adapters);
ABSL_DECLARE_FLAG(bool, json);
ABSL_FLAG(int32_t, streams, 8, "steady streams, one for each of the first adapters");
ABSL_FLAG(int32_t, stream_tokens, 4096, "of each stream: more than a round has steps");
ABSL_FLAG(double, loads_per_second, 1, "in every other phase");
ABSL_FLAG(int32_t, pairs, 3,
          "of rounds, each of a quiet and a loading phase in either order; medians are printed");
ABSL_FLAG(absl::Duration, phase, absl::Seconds(10), "length of a phase");

namespace lamella::bench {
namespace {

struct Medians {
  explicit Medians(const InterferenceReport& report) {
    std::vector<double> quiets, loadings, quiets50, loadings50, loads;
    for (const InterferenceRound& round : report.rounds) {
      quiets.push_back(round.quiet_p99_ms);
      loadings.push_back(round.loading_p99_ms);
      quiets50.push_back(round.quiet_p50_ms);
      loadings50.push_back(round.loading_p50_ms);
      loads.insert(loads.end(), round.load_ms.begin(), round.load_ms.end());
    }
    quiet_p50 = Median(quiets50);
    quiet_p99 = Median(quiets);
    loading_p50 = Median(loadings50);
    loading_p99 = Median(loadings);
    ratio = Median(report.PairRatios());
    load = Median(loads);
    load_count = loads.size();
  }

  double quiet_p50, quiet_p99, loading_p50, loading_p99;
  double ratio;  // of p99, of the pairs
  double load;
  size_t load_count;
};

void PrintTable(const InterferenceReport& report, const Medians& medians) {
  std::printf("| round | quiet p50, ms | p99 | loading p50 | p99 | loading / quiet, p99 |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (size_t i = 0; i < report.rounds.size(); ++i) {
    const InterferenceRound& round = report.rounds[i];
    std::printf("| %zu | %.1f | %.1f | %.1f | %.1f | %.2f |\n", i + 1, round.quiet_p50_ms,
                round.quiet_p99_ms, round.loading_p50_ms, round.loading_p99_ms,
                round.loading_p99_ms / round.quiet_p99_ms);
  }
  std::printf("| median; ratio: of pairs | %.1f | %.1f | %.1f | %.1f | %.2f |\n\n",
              medians.quiet_p50, medians.quiet_p99, medians.loading_p50, medians.loading_p99,
              medians.ratio);
  std::printf("%zu loads of %.1f MB, each in %.1f ms (median)\n", medians.load_count,
              1e-6 * static_cast<double>(report.adapter_bytes), medians.load);
}

void PrintJson(const client::ModelInfo& info, const InterferenceReport& report,
               const Medians& medians) {
  nlohmann::json json = Provenance(info);
  json["streams"] = absl::GetFlag(FLAGS_streams);
  json["pair_ratios"] = report.PairRatios();
  json["adapter_bytes"] = report.adapter_bytes;
  json["quiet_p50_ms"] = medians.quiet_p50;
  json["quiet_p99_ms"] = medians.quiet_p99;
  json["loading_p50_ms"] = medians.loading_p50;
  json["loading_p99_ms"] = medians.loading_p99;
  json["p99_ratio"] = medians.ratio;
  json["loads"] = medians.load_count;
  json["load_ms"] = medians.load;
  std::printf("%s\n", json.dump(1).c_str());
}

}  // namespace

absl::Status InterferenceCommand() {
  ASSIGN_OR_RETURN(const auto client,
                   client::Client::Connect(
                       {.server = absl::GetFlag(FLAGS_server), .key = absl::GetFlag(FLAGS_key)}));
  ASSIGN_OR_RETURN(const client::ModelInfo info, client->GetModelInfo());
  InterferenceOptions options;
  options.client.server = absl::GetFlag(FLAGS_server);
  options.client.key = absl::GetFlag(FLAGS_key);
  options.client.vocab_size = info.vocab_size;
  options.client.adapter_prefix = absl::GetFlag(FLAGS_adapter_prefix);
  options.admin = absl::GetFlag(FLAGS_admin);
  options.streams = absl::GetFlag(FLAGS_streams);
  options.adapters = absl::GetFlag(FLAGS_adapters);
  options.loads_per_second = absl::GetFlag(FLAGS_loads_per_second);
  options.pairs = absl::GetFlag(FLAGS_pairs);
  options.phase = absl::GetFlag(FLAGS_phase);
  options.answer_tokens = absl::GetFlag(FLAGS_stream_tokens);
  if (options.streams < 1 || options.pairs < 1 || options.loads_per_second <= 0) {
    return absl::InvalidArgumentError("--streams, --pairs and --loads_per_second must be positive");
  }
  ASSIGN_OR_RETURN(const InterferenceReport report, MeasureInterference(options));
  const Medians medians(report);
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(info, report, medians);
  } else {
    PrintHead(absl::StrCat(options.streams, " streams on ", info.model, ", ", info.dtype, ", ",
                           info.isa, ", beside loads"));
    PrintTable(report, medians);
  }
  return absl::OkStatus();
}

}  // namespace lamella::bench
