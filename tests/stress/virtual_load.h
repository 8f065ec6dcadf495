// An engine under load in virtual time: the real engine, stepped by hand, over an executor that
// computes nothing and takes as long as its rows would. What it measures is what the engine decides;
// a second of load takes milliseconds, and equal arguments give equal figures.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/engine/engine.h"
#include "tests/testing/fake_adapters.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_tokenizer.h"

namespace lamella::stress {

// Time of a step: a fixed part and a part for each row. The defaults are about what a model of 135 M
// parameters takes on two cores.
struct StepCost {
  absl::Duration fixed = absl::Milliseconds(8);
  absl::Duration row = absl::Microseconds(500);
};

struct Arrival {
  absl::Duration at;
  std::string tenant;
  int32_t prompt_tokens = 64;
  int32_t answer_tokens = 32;
};

// Poisson arrivals of one tenant, `per_second` on average over `length`.
std::vector<Arrival> PoissonArrivals(const std::string& tenant, double per_second,
                                     absl::Duration length, uint64_t seed);

// What happened to one request.
struct Outcome {
  std::string tenant;
  absl::Time arrived;
  absl::Time first_token = absl::InfiniteFuture();  // read
  absl::Time ended = absl::InfiniteFuture();
  int32_t prompt_tokens = 0;
  int32_t generated_tokens = 0;
  bool accepted = false;
  bool finished = false;
  absl::Duration refusal_took;  // real time of the call that refused it
};

struct LoadResult {
  std::vector<Outcome> outcomes;  // in the order of arrival
  absl::Time begin;
  absl::Time end;
  int64_t steps = 0;
  int64_t rows = 0;

  // Of what was read before `end`.
  int64_t TokensOf(const std::string& tenant, absl::Time until) const;  // "": of all
  // Time to first token of accepted requests that arrived before `until`, ascending.
  std::vector<absl::Duration> FirstTokens(const std::string& tenant) const;
};

// The p-th percentile (0 to 100) of ascending values, by nearest rank; zero of none.
absl::Duration Percentile(const std::vector<absl::Duration>& sorted, double p);

class VirtualLoad {
 public:
  VirtualLoad(EngineOptions options, StepCost cost, const TenantDirectory* tenants = nullptr);
  ~VirtualLoad();

  // Runs until `length` has passed; what is unfinished then ends unfinished. `watch` is called after
  // every step.
  LoadResult Run(std::vector<Arrival> arrivals, absl::Duration length,
                 const std::function<void(const LoadResult&)>& watch = {});

  absl::Duration FullStep() const;

  // For those who drive it by hand.
  Engine* engine() { return engine_.get(); }
  FakeCatalogue* catalogue() { return &catalogue_; }
  int64_t rows() const;  // computed so far

 private:
  class Executor;
  struct Stream;

  void Submit(const Arrival& arrival, LoadResult* result);
  void ReadAll(LoadResult* result);

  FakeClock clock_;
  FakeTokenizer tokenizer_;
  FakeCatalogue catalogue_;
  FakeResidency residency_;
  const EngineOptions options_;
  const StepCost cost_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Engine> engine_;
  std::vector<Stream> streams_;
};

}  // namespace lamella::stress
