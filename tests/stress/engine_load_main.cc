// engine_load light|backlog|overload|loop|prefix
//
// What the engine decides under load, in virtual time (virtual_load.h). One line at the end.
//
//   light     a light tenant alone, and beside one with a hundred times its load
//   backlog   two tenants with equal weights that always have more to do, for 60 s
//   overload  ten times as many requests as can be served
//   loop      what the engine itself takes of a step: 64 sequences of 32 adapters decode
//   prefix    a second request with 1,000 tokens in common, of the same and of another tenant
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <string>

#include "tests/stress/virtual_load.h"
#include "tests/testing/heap_allocations.h"

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
  double resident_growth = 0;  // from a tenth of the flood to its end
};

// Prompts of 16 to 112 tokens, answers of 8 to 56: `per_second` on average in [begin, end).
std::vector<Arrival> MixedArrivals(double per_second, absl::Duration begin, absl::Duration end) {
  std::vector<Arrival> arrivals = PoissonArrivals("t", per_second, end - begin, 3);
  std::mt19937 random(4);
  for (Arrival& arrival : arrivals) {
    arrival.at += begin;
    arrival.prompt_tokens = std::uniform_int_distribution<int32_t>(16, 112)(random);
    arrival.answer_tokens = std::uniform_int_distribution<int32_t>(8, 56)(random);
  }
  return arrivals;
}

// After a while of modest load, so that the server has seen how fast it is.
Goodput Offer(double per_second, absl::Duration max_queue_wait) {
  constexpr absl::Duration kModest = absl::Seconds(20);
  const absl::Duration kLength = kModest + kMinute;
  EngineOptions options = Options();
  options.admission.max_queue_wait = max_queue_wait;
  VirtualLoad load(options, {});
  double at_begin = 0;
  LoadResult result = load.Run(
      Joined(MixedArrivals(15, absl::ZeroDuration(), kModest),
             MixedArrivals(per_second, kModest, kLength)),
      kLength, [&](const LoadResult& now) {
        if (at_begin == 0 && now.outcomes.back().arrived > now.begin + kModest + kMinute / 10) {
          at_begin = ResidentMegabytes();
        }
      });
  std::erase_if(result.outcomes,
                [&](const Outcome& outcome) { return outcome.arrived < result.begin + kModest; });
  Goodput goodput;
  std::vector<absl::Duration> refusals;
  int64_t finished = 0;
  for (const Outcome& outcome : result.outcomes) {
    finished += outcome.finished ? 1 : 0;
    if (!outcome.accepted) refusals.push_back(outcome.refusal_took);
  }
  std::sort(refusals.begin(), refusals.end());
  goodput.per_second = static_cast<double>(finished) / absl::ToDoubleSeconds(kMinute);
  goodput.first_token_p99 = Percentile(result.FirstTokens(""), 99);
  goodput.refusal_p99 = Percentile(refusals, 99);
  goodput.refused_share =
      static_cast<double>(refusals.size()) / static_cast<double>(result.outcomes.size());
  goodput.resident_growth = ResidentMegabytes() / at_begin - 1;
  return goodput;
}

int Overload() {
  // Capacity is found, not assumed: what is finished when more and more is offered. Nominal is what
  // nine tenths of it feel like. The operator says that nobody is to wait longer than half of that
  // for a first step.
  const absl::Duration never = absl::InfiniteDuration();
  double capacity = 0;
  for (const double rate : {5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0}) {
    capacity = std::max(capacity, Offer(rate, never).per_second);
  }
  const absl::Duration nominal = Offer(0.9 * capacity, never).first_token_p99;
  const Goodput flooded = Offer(10 * capacity, nominal / 2);
  std::printf(
      "overload capacity=%.2f nominal_p99_ms=%.1f flooded=%.2f flooded_p99_ms=%.1f "
      "refusal_p99_ms=%.4f refused_share=%.3f resident_growth=%.4f\n",
      capacity, Ms(nominal), flooded.per_second, Ms(flooded.first_token_p99),
      Ms(flooded.refusal_p99), flooded.refused_share, flooded.resident_growth);
  return 0;
}

Request MakeRequest(const std::string& tenant, std::string prompt, int32_t max_tokens) {
  Request request;
  request.request_id = "r";
  request.tenant = tenant;
  request.prompt_text = std::move(prompt);
  request.stop.max_tokens = max_tokens;
  return request;
}

// The executor answers at once, so that what is left of a step is the engine's.
int Loop() {
  constexpr int32_t kSequences = 64;
  constexpr int32_t kAdapters = 32;
  constexpr int32_t kSteps = 2000;
  VirtualLoad load(Options(), {absl::ZeroDuration(), absl::ZeroDuration()});
  std::vector<StreamReader> readers;
  for (int32_t i = 0; i < kSequences; ++i) {
    const std::string name = "a" + std::to_string(i % kAdapters);
    load.catalogue()->SetLive("t", name, name);
    Request request = MakeRequest("t", std::string(16, 'p'), 3000);
    request.adapter_id = name;
    readers.push_back(*load.engine()->Submit(std::move(request)));
  }
  int64_t tokens = 0;
  const auto read = [&] {
    for (StreamReader& reader : readers) {
      const std::optional<StreamEvents> events = reader.TryRead();
      if (!events.has_value()) continue;
      for (const StreamDelta& delta : events->deltas) {
        tokens += static_cast<int64_t>(delta.token_ids.size());
      }
    }
  };
  for (int32_t i = 0; i < 100; ++i) {
    load.engine()->Step();
    read();
  }
  std::vector<double> microseconds;
  microseconds.reserve(kSteps);
  tokens = 0;
  const int64_t allocations = lamella::testing::HeapAllocations();
  for (int32_t i = 0; i < kSteps; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    load.engine()->Step();
    microseconds.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count());
    read();
  }
  const int64_t allocated = lamella::testing::HeapAllocations() - allocations;
  std::sort(microseconds.begin(), microseconds.end());
  std::printf("loop step_us=%.1f step_p99_us=%.1f steps=%d tokens=%lld allocations=%lld\n",
              microseconds[kSteps / 2], microseconds[kSteps * 99 / 100], kSteps,
              static_cast<long long>(tokens), static_cast<long long>(allocated));
  return tokens == int64_t{kSteps} * kSequences ? 0 : 1;
}

int Prefix() {
  VirtualLoad load(Options(), {});
  const std::string shared(1000, 's');
  const auto rows_of = [&](const std::string& tenant, const std::string& end) {
    const int64_t before = load.rows();
    const auto reader = load.engine()->Submit(MakeRequest(tenant, shared + end, 1));
    while (load.engine()->Step()) continue;
    return static_cast<long long>(load.rows() - before);
  };
  const long long first = rows_of("t", "0123456789");
  const long long second = rows_of("t", "abcdefghij");
  const long long foreign = rows_of("u", "0123456789");
  std::printf("prefix first_rows=%lld second_rows=%lld foreign_rows=%lld block_tokens=16\n", first,
              second, foreign);
  return 0;
}

}  // namespace
}  // namespace lamella::stress

int main(int argc, char** argv) {
  const std::map<std::string, int (*)()> loads = {{"light", lamella::stress::Light},
                                                  {"backlog", lamella::stress::Backlog},
                                                  {"overload", lamella::stress::Overload},
                                                  {"loop", lamella::stress::Loop},
                                                  {"prefix", lamella::stress::Prefix}};
  const auto load = argc == 2 ? loads.find(argv[1]) : loads.end();
  if (load != loads.end()) return load->second();
  std::fprintf(stderr, "usage: engine_load light|backlog|overload|loop|prefix\n");
  return 2;
}
