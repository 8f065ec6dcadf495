// engine_load light|backlog|overload
//
// What the engine decides under load, in virtual time (virtual_load.h). One line at the end.
//
//   light     a light tenant alone, and beside one with a hundred times its load
//   backlog   two tenants with equal weights that always have more to do, for 60 s
//   overload  ten times as many requests as can be served
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>

#include "tests/stress/virtual_load.h"

namespace lamella::stress {
namespace {

constexpr absl::Duration kMinute = absl::Seconds(60);

EngineOptions Options(EngineOptions::Policy policy = EngineOptions::Policy::kVtc) {
  EngineOptions options;
  options.policy = policy;
  return options;
}

double Ms(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

std::vector<Arrival> Joined(std::vector<Arrival> a, const std::vector<Arrival>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

int Light() {
  const absl::Duration length = 5 * kMinute;
  const std::vector<Arrival> light = PoissonArrivals("light", 0.5, length, 1);
  const std::vector<Arrival> both = Joined(light, PoissonArrivals("heavy", 50, length, 2));
  VirtualLoad alone(Options(), {});
  VirtualLoad beside(Options(), {});
  VirtualLoad fcfs(Options(EngineOptions::Policy::kFcfs), {});
  const LoadResult quiet = alone.Run(light, length);
  const LoadResult fair = beside.Run(both, length);
  const LoadResult plain = fcfs.Run(both, length);
  int64_t refused = 0;
  for (const Outcome& outcome : fair.outcomes) {
    refused += outcome.tenant == "light" && !outcome.accepted ? 1 : 0;
  }
  std::printf(
      "light requests=%zu refused=%lld alone_p99_ms=%.1f beside_p99_ms=%.1f fcfs_p99_ms=%.1f "
      "full_step_ms=%.1f fair_tokens=%lld fcfs_tokens=%lld\n",
      light.size(), static_cast<long long>(refused), Ms(Percentile(quiet.FirstTokens("light"), 99)),
      Ms(Percentile(fair.FirstTokens("light"), 99)), Ms(Percentile(plain.FirstTokens("light"), 99)),
      Ms(beside.FullStep()), static_cast<long long>(fair.TokensOf("", fair.end)),
      static_cast<long long>(plain.TokensOf("", plain.end)));
  return 0;
}

// What was done for a tenant, in the policy's own units.
double ServiceOf(const LoadResult& result, const std::string& tenant, const VtcOptions& cost) {
  double service = 0;
  for (const Outcome& outcome : result.outcomes) {
    if (outcome.tenant != tenant || outcome.generated_tokens == 0) continue;
    service += outcome.prompt_tokens * cost.prompt_token_cost +
               outcome.generated_tokens * cost.generated_token_cost;
  }
  return service;
}

int Backlog() {
  // One asks long and hears little, the other the reverse.
  std::vector<Arrival> arrivals = PoissonArrivals("a", 60, kMinute, 1);
  for (Arrival& arrival : arrivals) {
    arrival.prompt_tokens = 200;
    arrival.answer_tokens = 16;
  }
  arrivals = Joined(std::move(arrivals), PoissonArrivals("b", 60, kMinute, 2));
  const EngineOptions options = Options();
  VirtualLoad load(options, {});
  double gap = 0;
  int64_t steps = 0;
  const LoadResult result = load.Run(arrivals, kMinute, [&](const LoadResult& now) {
    // Every tenth step: counting walks over all requests.
    if (++steps % 10 != 0) return;
    gap = std::max(gap,
                   std::abs(ServiceOf(now, "a", options.vtc) - ServiceOf(now, "b", options.vtc)));
  });
  const double a = ServiceOf(result, "a", options.vtc);
  const double b = ServiceOf(result, "b", options.vtc);
  // Sheng et al., theorem 4.4: twice the larger of a prompt's cost and a full batch's answers.
  const double bound = 2 * std::max(200 * options.vtc.prompt_token_cost,
                                    options.max_running * 32 * options.vtc.generated_token_cost);
  std::printf("backlog service_a=%.0f service_b=%.0f largest_gap=%.0f bound=%.0f jain=%.4f\n", a, b,
              gap, bound, (a + b) * (a + b) / (2 * (a * a + b * b)));
  return 0;
}

double ResidentMegabytes() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;
  return pages * 4096 / 1e6;
}

struct Goodput {
  double per_second = 0;  // requests that finished
  absl::Duration first_token_p99;
  absl::Duration refusal_p99;
  double refused_share = 0;
  double resident_growth = 0;  // from the middle of the run to its end
};

Goodput Offer(double per_second, absl::Duration length) {
  VirtualLoad load(Options(), {});
  double middle = 0;
  const LoadResult result =
      load.Run(PoissonArrivals("t", per_second, length, 3), length, [&](const LoadResult& now) {
        if (middle == 0 && now.outcomes.size() > per_second * absl::ToDoubleSeconds(length) / 2) {
          middle = ResidentMegabytes();
        }
      });
  Goodput goodput;
  std::vector<absl::Duration> refusals;
  int64_t finished = 0;
  for (const Outcome& outcome : result.outcomes) {
    finished += outcome.finished ? 1 : 0;
    if (!outcome.accepted) refusals.push_back(outcome.refusal_took);
  }
  std::sort(refusals.begin(), refusals.end());
  goodput.per_second = static_cast<double>(finished) / absl::ToDoubleSeconds(length);
  goodput.first_token_p99 = Percentile(result.FirstTokens(""), 99);
  goodput.refusal_p99 = Percentile(refusals, 99);
  goodput.refused_share =
      static_cast<double>(refusals.size()) / static_cast<double>(result.outcomes.size());
  goodput.resident_growth = ResidentMegabytes() / middle - 1;
  return goodput;
}

int Overload() {
  // Capacity is found, not assumed: what is finished when more and more is offered.
  double capacity = 0;
  absl::Duration nominal;
  for (const double rate : {5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0}) {
    const Goodput goodput = Offer(rate, kMinute);
    if (goodput.per_second <= capacity) break;
    capacity = goodput.per_second;
    nominal = goodput.first_token_p99;
  }
  const Goodput flooded = Offer(10 * capacity, kMinute);
  std::printf(
      "overload capacity=%.2f nominal_p99_ms=%.1f flooded=%.2f flooded_p99_ms=%.1f "
      "refusal_p99_ms=%.4f refused_share=%.3f resident_growth=%.4f\n",
      capacity, Ms(nominal), flooded.per_second, Ms(flooded.first_token_p99),
      Ms(flooded.refusal_p99), flooded.refused_share, flooded.resident_growth);
  return 0;
}

}  // namespace
}  // namespace lamella::stress

int main(int argc, char** argv) {
  const std::map<std::string, int (*)()> loads = {{"light", lamella::stress::Light},
                                                  {"backlog", lamella::stress::Backlog},
                                                  {"overload", lamella::stress::Overload}};
  const auto load = argc == 2 ? loads.find(argv[1]) : loads.end();
  if (load != loads.end()) return load->second();
  std::fprintf(stderr, "usage: engine_load light|backlog|overload\n");
  return 2;
}
