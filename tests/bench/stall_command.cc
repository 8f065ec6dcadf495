// lamella-bench stall [--stall_model=smollm2-135m-instruct] [--rounds=5] [--json] [--smoke]
//
// Sixteen streams decode on a real base; then a prompt of eight chunks arrives. How long its readers
// wait for their next token before and meanwhile, and how long one chunk alone takes, all in one
// process. The engine is stepped by hand: a stream gets one token in each step.
#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/engine/engine.h"
#include "tests/bench/bench_adapters.h"
#include "tests/bench/commands.h"
#include "tests/bench/machine.h"
#include "tests/testing/fake_adapters.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/real_base.h"

ABSL_DECLARE_FLAG(int32_t, rounds);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(bool, smoke);
ABSL_FLAG(std::string, stall_model, "smollm2-135m-instruct", "a demo base");

namespace lamella::bench {
namespace {

constexpr int32_t kStreams = 16;
constexpr int32_t kPromptTokens = 32;
constexpr int32_t kQuietSteps = 60;
constexpr int32_t kChunk = 64;
constexpr int32_t kChunks = 8;

struct StallReport {
  double quiet_p99_ms = 0;
  double busy_p99_ms = 0;
  double chunk_ms = 0;
};

Request MakeRequest(int32_t number, int32_t prompt_tokens, int32_t max_tokens) {
  Request request;
  request.request_id = std::to_string(number);
  request.tenant = "t";
  request.prompt_is_text = false;
  for (int32_t i = 0; i < prompt_tokens; ++i) {
    request.prompt_token_ids.push_back((number * 977 + i * 131) % 30000);
  }
  request.stop.max_tokens = max_tokens;
  request.stop.ignore_eos = true;
  return request;
}

class Stall {
 public:
  explicit Stall(ModelExecutor* executor) : executor_(executor) {}

  absl::StatusOr<StallReport> Round() {
    EngineOptions options;
    options.start_thread = false;
    options.prefill_chunk_tokens = kChunk;
    options.step_tokens = 256;
    options.max_running = kStreams + 1;
    options.prefix_reuse = false;
    EngineDeps deps;
    deps.executor = executor_;
    deps.tokenizer = &tokenizer_;
    deps.catalogue = &catalogue_;
    deps.residency = &residency_;
    deps.clock = &clock_;
    ASSIGN_OR_RETURN(engine_, Engine::Create(options, deps));
    StallReport report;
    std::vector<double> chunks;
    for (int32_t i = 0; i < 5; ++i) chunks.push_back(OneChunk());
    report.chunk_ms = Median(chunks);
    for (int32_t i = 0; i < kStreams; ++i) Submit(MakeRequest(i, kPromptTokens, 400));
    for (int32_t i = 0; i < 12; ++i) StepMs();  // all decode now
    std::vector<double> quiet;
    for (int32_t i = 0; i < kQuietSteps; ++i) quiet.push_back(StepMs());
    Submit(MakeRequest(99, kChunk * kChunks, 1));
    std::vector<double> busy;
    for (bool ended = false; !ended;) {
      busy.push_back(StepMs());
      const std::optional<StreamEvents> events = readers_.back().TryRead();
      ended = events.has_value() && events->terminal();
    }
    report.quiet_p99_ms = Percentile(quiet, 0.99);
    report.busy_p99_ms = Percentile(busy, 0.99);
    readers_.clear();
    engine_->Stop();
    return report;
  }

 private:
  void Submit(Request request) {
    absl::StatusOr<StreamReader> reader = engine_->Submit(std::move(request));
    if (reader.ok()) readers_.push_back(*std::move(reader));
  }
  double StepMs() {
    const absl::Time begin = absl::Now();
    engine_->Step();
    return MillisecondsSince(begin);
  }
  // A prompt of one chunk, alone.
  double OneChunk() {
    Submit(MakeRequest(77, kChunk, 1));
    const double took = StepMs();
    engine_->Step();
    readers_.clear();
    return took;
  }

  ModelExecutor* const executor_;
  RealClock clock_;
  FakeTokenizer tokenizer_;
  FakeCatalogue catalogue_;
  FakeResidency residency_;
  std::unique_ptr<Engine> engine_;
  std::vector<StreamReader> readers_;
};

}  // namespace

absl::Status StallCommand() {
  ASSIGN_OR_RETURN(const std::string path,
                   testing::DemoModelPath(absl::GetFlag(FLAGS_stall_model)));
  CpuExecutorOptions executor = testing::RealBaseOptions(kernels::WeightType::kBF16);
  ASSIGN_OR_RETURN(
      const testing::RealBase base,
      testing::OpenRealBase(path, std::string(LAMELLA_SOURCE_DIR) + "/adapters_store/samples",
                            executor));
  Stall stall(base.executor.get());
  std::vector<double> quiet, busy, chunk;
  for (int32_t round = 0; round < (absl::GetFlag(FLAGS_smoke) ? 1 : absl::GetFlag(FLAGS_rounds));
       ++round) {
    ASSIGN_OR_RETURN(const StallReport report, stall.Round());
    quiet.push_back(report.quiet_p99_ms);
    busy.push_back(report.busy_p99_ms);
    chunk.push_back(report.chunk_ms);
  }
  if (absl::GetFlag(FLAGS_json)) {
    const nlohmann::json json = {{"machine", ProcessorName()},
                                 {"cores", ProcessorCount()},
                                 {"isa", kernels::IsaName(kernels::BestIsa())},
                                 {"commit", CommitName()},
                                 {"streams", kStreams},
                                 {"chunk_tokens", kChunk},
                                 {"chunks", kChunks},
                                 {"quiet_p99_ms", Median(quiet)},
                                 {"busy_p99_ms", Median(busy)},
                                 {"chunk_ms", Median(chunk)}};
    std::printf("%s\n", json.dump(1).c_str());
    return absl::OkStatus();
  }
  PrintHead(
      absl::StrCat(kStreams, " streams decode, a prompt of ", kChunk * kChunks, " tokens arrives"));
  std::printf("| figure | ms |\n|---|---|\n");
  std::printf("| between two tokens, quiet, p99 | %.1f |\n", Median(quiet));
  std::printf("| between two tokens beside the prompt, p99 | %.1f |\n", Median(busy));
  std::printf("| one chunk of %d tokens alone | %.1f |\n", kChunk, Median(chunk));
  return absl::OkStatus();
}

}  // namespace lamella::bench
