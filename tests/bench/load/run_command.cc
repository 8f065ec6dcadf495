// lamella-load run [--rate=1 --cv=1 | --concurrency=N] [--duration=30s] [--warmup=5s] [--seed=1]
//                  [--adapters=N --popularity=s-lora|zipf|distinct|uniform|skewed|identical]
//                  [--lengths=uniform|punica] [--slo_ttft=6s] [--slo_tpot=200ms] [--records=FILE]
//
// S-LoRA's workload: --cv=1 --popularity=s-lora --alpha=1 --prompt_tokens=8:512
// --answer_tokens=8:512. Punica's: --popularity=skewed --lengths=punica.
#include <sys/resource.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "common/base/status_macros.h"
#include "tests/bench/bench_adapters.h"
#include "tests/bench/load/arrivals.h"
#include "tests/bench/load/commands.h"
#include "tests/bench/load/load_client.h"
#include "tests/bench/load/record.h"
#include "tests/bench/load/report.h"
#include "tests/bench/load/summary.h"

ABSL_DECLARE_FLAG(std::string, server);
ABSL_DECLARE_FLAG(std::string, key);
ABSL_DECLARE_FLAG(std::string, adapter_prefix);
ABSL_DECLARE_FLAG(int32_t, adapters);
ABSL_DECLARE_FLAG(uint64_t, seed);
ABSL_DECLARE_FLAG(bool, json);
ABSL_FLAG(double, rate, 1, "requests a second, whatever becomes of them");
ABSL_FLAG(double, cv, 1, "variation of the gaps between them; 1: Poisson arrivals, else Gamma");
ABSL_FLAG(int32_t, concurrency, 0, "instead of --rate: so many in flight all the time");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(30), "what counts: requests due within it");
ABSL_FLAG(absl::Duration, warmup, absl::Seconds(5), "before it");
ABSL_FLAG(absl::Duration, timeout, absl::Minutes(5), "deadline of each request");
ABSL_FLAG(int32_t, connections, 4, "over which the streams are dealt");
ABSL_FLAG(std::string, popularity, "s-lora",
          "of adapters: s-lora, zipf, distinct, uniform, skewed or identical");
ABSL_FLAG(double, alpha, 1, "of s-lora: adapter floor(N u^(1/alpha))");
ABSL_FLAG(double, zipf_s, 1, "of zipf: the k-th in proportion to k^-s");
ABSL_FLAG(double, base_share, 0, "of requests without an adapter");
ABSL_FLAG(std::string, lengths, "uniform", "of prompts and answers: uniform or punica");
ABSL_FLAG(std::string, prompt_tokens, "8:512", "of uniform: least and most");
ABSL_FLAG(std::string, answer_tokens, "8:512", "of uniform: least and most");
ABSL_FLAG(int32_t, max_total_tokens, 2048, "of punica");
ABSL_FLAG(absl::Duration, slo_ttft, absl::Seconds(6), "objective of the first token");
ABSL_FLAG(absl::Duration, slo_tpot, absl::InfiniteDuration(), "objective of each later token");
ABSL_FLAG(std::string, records, "", "a file for one line of JSON for each request");

namespace lamella::bench {
namespace {

const std::map<std::string, Popularity>& Popularities() {
  static const auto* const names = new std::map<std::string, Popularity>{
      {"distinct", Popularity::kDistinct}, {"uniform", Popularity::kUniform},
      {"skewed", Popularity::kSkewed},     {"identical", Popularity::kIdentical},
      {"s-lora", Popularity::kSLora},      {"zipf", Popularity::kZipf}};
  return *names;
}

absl::StatusOr<Range> ParseRange(const char* flag, const std::string& text) {
  const std::vector<std::string> ends = absl::StrSplit(text, ':');
  Range range;
  if (ends.size() != 2 || !absl::SimpleAtoi(ends[0], &range.low) ||
      !absl::SimpleAtoi(ends[1], &range.high)) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, " must be LEAST:MOST, got ", text));
  }
  return range;
}

absl::StatusOr<WorkloadOptions> WorkloadFromFlags() {
  WorkloadOptions options;
  const auto popularity = Popularities().find(absl::GetFlag(FLAGS_popularity));
  const std::string lengths = absl::GetFlag(FLAGS_lengths);
  if (popularity == Popularities().end() || (lengths != "uniform" && lengths != "punica")) {
    return absl::InvalidArgumentError("unknown --popularity or --lengths");
  }
  options.adapters = absl::GetFlag(FLAGS_adapters);
  options.base_share = absl::GetFlag(FLAGS_base_share);
  options.popularity = popularity->second;
  options.alpha = absl::GetFlag(FLAGS_alpha);
  options.zipf_s = absl::GetFlag(FLAGS_zipf_s);
  options.lengths = lengths == "punica" ? Lengths::kPunica : Lengths::kUniform;
  ASSIGN_OR_RETURN(options.prompt_tokens,
                   ParseRange("prompt_tokens", absl::GetFlag(FLAGS_prompt_tokens)));
  ASSIGN_OR_RETURN(options.answer_tokens,
                   ParseRange("answer_tokens", absl::GetFlag(FLAGS_answer_tokens)));
  options.max_total_tokens = absl::GetFlag(FLAGS_max_total_tokens);
  options.seed = absl::GetFlag(FLAGS_seed);
  RETURN_IF_ERROR(options.Validate());
  return options;
}

absl::StatusOr<Schedule> ScheduleFromFlags(absl::Duration length) {
  const double rate = absl::GetFlag(FLAGS_rate);
  const double cv = absl::GetFlag(FLAGS_cv);
  const int32_t concurrency = absl::GetFlag(FLAGS_concurrency);
  if (rate <= 0 || cv < 0 || concurrency < 0 || absl::GetFlag(FLAGS_connections) < 1 ||
      absl::GetFlag(FLAGS_duration) <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "--rate, --duration and --connections must be positive, --cv and --concurrency not "
        "negative");
  }
  if (concurrency > 0) return Schedule::Closed(static_cast<size_t>(concurrency), length);
  // Apart from the requests' own draws: another rate sends the same requests.
  return Schedule::Open(DrawArrivals({rate, cv}, length, absl::GetFlag(FLAGS_seed) + 1));
}

// Of the numbered adapters, those that are in memory now.
absl::StatusOr<std::set<int32_t>> ResidentNow(client::Client* client, int32_t adapters) {
  ASSIGN_OR_RETURN(const std::vector<client::AdapterInfo> all, client->ListAdapters());
  std::set<std::string> resident;
  for (const client::AdapterInfo& info : all) {
    if (info.residency != "disk") resident.insert(info.adapter_id);
  }
  std::set<int32_t> numbers;
  for (int32_t i = 0; i < adapters; ++i) {
    const std::string name = absl::StrCat(absl::GetFlag(FLAGS_adapter_prefix), i);
    if (resident.contains(name)) numbers.insert(i);
  }
  return numbers;
}

double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return absl::ToDoubleSeconds(absl::DurationFromTimeval(usage.ru_utime) +
                               absl::DurationFromTimeval(usage.ru_stime));
}

struct Run {
  std::vector<Record> records;
  double own_cores = 0;  // that this program took
};

absl::StatusOr<Run> Execute(client::Client* client, const client::ModelInfo& info,
                            absl::Duration length) {
  ASSIGN_OR_RETURN(const WorkloadOptions options, WorkloadFromFlags());
  ASSIGN_OR_RETURN(Schedule schedule, ScheduleFromFlags(length));
  ASSIGN_OR_RETURN(const auto load,
                   LoadClient::Connect({.server = absl::GetFlag(FLAGS_server),
                                        .key = absl::GetFlag(FLAGS_key),
                                        .connections = absl::GetFlag(FLAGS_connections),
                                        .timeout = absl::GetFlag(FLAGS_timeout),
                                        .vocab_size = info.vocab_size,
                                        .prompt_seed = options.seed,
                                        .adapter_prefix = absl::GetFlag(FLAGS_adapter_prefix)}));
  ASSIGN_OR_RETURN(const std::set<int32_t> resident, ResidentNow(client, options.adapters));
  Workload workload(options);
  Run run;
  const absl::Time begin = absl::Now();
  const double processor = ProcessorSeconds();
  run.records = load->Run(std::move(schedule), &workload);
  run.own_cores = (ProcessorSeconds() - processor) / absl::ToDoubleSeconds(absl::Now() - begin);
  Classify(resident, &run.records);
  return run;
}

}  // namespace

absl::Status RunCommand() {
  ASSIGN_OR_RETURN(const auto client,
                   client::Client::Connect(
                       {.server = absl::GetFlag(FLAGS_server), .key = absl::GetFlag(FLAGS_key)}));
  ASSIGN_OR_RETURN(const client::ModelInfo info, client->GetModelInfo());
  const absl::Duration warmup = absl::GetFlag(FLAGS_warmup);
  const Window window{warmup, warmup + absl::GetFlag(FLAGS_duration)};
  ASSIGN_OR_RETURN(const Run run, Execute(client.get(), info, window.end));
  const Objectives objectives{absl::GetFlag(FLAGS_slo_ttft), absl::GetFlag(FLAGS_slo_tpot)};
  const Summary summary = Summarize(run.records, window, objectives);
  if (const std::string path = absl::GetFlag(FLAGS_records); !path.empty()) {
    RETURN_IF_ERROR(WriteRecords(path, run.records));
  }
  if (absl::GetFlag(FLAGS_json)) {
    nlohmann::json json = Provenance(info);
    json.update(ToJson(summary));
    json["own_cores"] = run.own_cores;
    std::printf("%s\n", json.dump(1).c_str());
  } else {
    PrintHead(absl::StrCat("load on ", info.model, ", ", info.dtype, ", ", info.isa));
    PrintTable(summary, objectives);
    std::printf("sending and reading took %.2f cores\n", run.own_cores);
  }
  return absl::OkStatus();
}

}  // namespace lamella::bench
