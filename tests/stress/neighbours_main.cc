// lamella-neighbours [--model=smollm2-135m-instruct] [--dtype=bf16] [--schedules=20] [--requests=24]
//                    [--kv_blocks=24] [--seed=1]
//
// Law 2 through the engine on a real base; see neighbours.h. One line at the end; exit status 1 if
// anything differs:
//
//   neighbours compared_logits=9120 different_logits=0 compared_tokens=... preemptions=... ...
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "common/base/status_macros.h"
#include "tests/stress/neighbours.h"

ABSL_FLAG(std::string, model, "smollm2-135m-instruct", "a demo base: that or gemma-3-270m");
ABSL_FLAG(std::string, dtype, "bf16", "bf16 or float32");
ABSL_FLAG(int32_t, schedules, 20, "random schedules");
ABSL_FLAG(int32_t, requests, 24, "requests in each");
ABSL_FLAG(int32_t, kv_blocks, 24, "KV blocks: few, so that requests are sent back to wait");
ABSL_FLAG(uint32_t, seed, 1, "of everything that is random");

namespace lamella::testing {
namespace {

absl::StatusOr<NeighbourFigures> Run() {
  ASSIGN_OR_RETURN(const std::string path, DemoModelPath(absl::GetFlag(FLAGS_model)));
  const std::string samples = std::string(LAMELLA_SOURCE_DIR) + "/adapters_store/samples";
  CpuExecutorOptions executor =
      RealBaseOptions(absl::GetFlag(FLAGS_dtype) == "float32" ? kernels::WeightType::kF32
                                                              : kernels::WeightType::kBF16);
  ASSIGN_OR_RETURN(RealBase base, OpenRealBase(path, samples, executor));
  // Again with as many blocks as were asked for: their size is known only now.
  executor.kv_cache_bytes = base.executor->kv_cache_bytes() / base.executor->limits().num_blocks *
                            absl::GetFlag(FLAGS_kv_blocks);
  base = RealBase();
  ASSIGN_OR_RETURN(base, OpenRealBase(path, samples, executor));
  NeighbourOptions options;
  options.schedules = absl::GetFlag(FLAGS_schedules);
  options.requests = absl::GetFlag(FLAGS_requests);
  options.seed = absl::GetFlag(FLAGS_seed);
  return CompareNeighbours(&base, options);
}

int Main() {
  const auto figures = Run();
  if (!figures.ok()) {
    std::fprintf(stderr, "lamella-neighbours: %s\n", figures.status().ToString().c_str());
    return 1;
  }
  const auto number = [](int64_t value) { return static_cast<long long>(value); };
  std::printf(
      "neighbours compared_logits=%lld different_logits=%lld compared_tokens=%lld "
      "different_tokens=%lld preemptions=%lld cached_tokens=%lld failed=%lld\n",
      number(figures->compared_logits), number(figures->different_logits),
      number(figures->compared_tokens), number(figures->different_tokens),
      number(figures->preemptions), number(figures->cached_tokens), number(figures->failed));
  if (!figures->first_fault.empty()) std::fprintf(stderr, "%s\n", figures->first_fault.c_str());
  // A run without reuse or preemption would show less than it claims.
  const bool has_teeth = figures->preemptions > 0 && figures->cached_tokens > 0;
  if (!has_teeth)
    std::fprintf(stderr, "no preemption or no reuse: these schedules show too little\n");
  const int64_t faults = figures->different_logits + figures->different_tokens + figures->failed;
  return faults == 0 && has_teeth ? 0 : 1;
}

}  // namespace
}  // namespace lamella::testing

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("lamella-neighbours [flags]: equal logits whoever is in the batch");
  absl::ParseCommandLine(argc, argv);
  return lamella::testing::Main();
}
