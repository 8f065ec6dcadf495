// lamella-churn [--tokens=100000] [--clients=8] [--interval=30ms] [--time_limit=inf] [--seed=1]
//
// Serves while adapters are uploaded, switched, evicted and deleted, and compares every token with
// the isolated run of its version. One line at the end; exit status 1 if anything was wrong:
//
//   churn tokens=100012 mismatches=0 unexpected=0 answers=4011 uploads=212 switches=305 ...
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "tests/stress/churn.h"
#include "tests/testing/safetensors_writer.h"

ABSL_FLAG(int64_t, tokens, 100'000, "tokens that are compared, at least");
ABSL_FLAG(int32_t, clients, 8, "requests under way at one time");
ABSL_FLAG(absl::Duration, interval, absl::Milliseconds(30), "from one change to the next");
ABSL_FLAG(absl::Duration, time_limit, absl::InfiniteDuration(), "ends the run earlier");
ABSL_FLAG(uint32_t, seed, 1, "of changes and questions");

namespace lamella::testing {
namespace {

int Main() {
  const TempDir dir;
  ChurnOptions options;
  options.tokens = absl::GetFlag(FLAGS_tokens);
  options.clients = absl::GetFlag(FLAGS_clients);
  options.interval = absl::GetFlag(FLAGS_interval);
  options.time_limit = absl::GetFlag(FLAGS_time_limit);
  options.seed = absl::GetFlag(FLAGS_seed);
  const auto figures = RunChurn(options, dir.path());
  if (!figures.ok()) {
    std::fprintf(stderr, "lamella-churn: %s\n", figures.status().ToString().c_str());
    return 1;
  }
  const auto number = [](int64_t value) { return static_cast<long long>(value); };
  std::printf(
      "churn tokens=%lld mismatches=%lld unexpected=%lld answers=%lld uploads=%lld switches=%lld "
      "evictions=%lld deletions=%lld loads=%lld refused=%lld distinct=%.3f seconds=%.1f\n",
      number(figures->tokens), number(figures->mismatches), number(figures->unexpected),
      number(figures->answers), number(figures->uploads), number(figures->switches),
      number(figures->evictions), number(figures->deletions), number(figures->loads),
      number(figures->refused), figures->distinct_share, figures->seconds);
  if (!figures->first_fault.empty()) std::fprintf(stderr, "%s\n", figures->first_fault.c_str());
  // Contents that say the same would prove nothing.
  const bool has_teeth = figures->distinct_share > 0.95;
  return figures->mismatches == 0 && figures->unexpected == 0 && has_teeth ? 0 : 1;
}

}  // namespace
}  // namespace lamella::testing

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("lamella-churn [flags]: right tokens while adapters change");
  absl::ParseCommandLine(argc, argv);
  return lamella::testing::Main();
}
