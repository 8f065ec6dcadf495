#include "tests/stress/virtual_load.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <random>
#include <utility>

namespace lamella::stress {
namespace {

constexpr int32_t kBlockTokens = 16;
constexpr int32_t kContextTokens = 4096;
constexpr int32_t kBlocks = 16384;  // 64 sequences of the whole context

}  // namespace

// Answers 'a' to everything, after a while.
class VirtualLoad::Executor final : public ModelExecutor {
 public:
  Executor(const EngineOptions& options, StepCost cost, FakeClock* clock)
      : cost_(cost), clock_(clock) {
    limits_.block_tokens = kBlockTokens;
    limits_.num_blocks = kBlocks;
    limits_.max_rows = options.step_tokens;
    limits_.max_sequences = options.max_running;
    limits_.max_logit_rows = options.max_running;
    limits_.context_tokens = kContextTokens;
    limits_.vocab_size = 512;
  }

  const ExecutorLimits& limits() const override { return limits_; }
  void Launch(const StepInput& input) override { launched_ = &input; }
  absl::Status Wait(StepOutput* output) override {
    output->Clear();
    for (size_t i = 0; i < launched_->sequences.size(); ++i) {
      if (launched_->sequences[i].sample) {
        output->sampled.push_back({static_cast<int32_t>(i), 'a', true});
      }
    }
    clock_->Advance(cost_.fixed + launched_->rows() * cost_.row);
    rows_ += launched_->rows();
    return absl::OkStatus();
  }

  int64_t rows() const { return rows_; }

 private:
  const StepCost cost_;
  FakeClock* const clock_;
  ExecutorLimits limits_;
  const StepInput* launched_ = nullptr;
  int64_t rows_ = 0;
};

struct VirtualLoad::Stream {
  size_t outcome = 0;
  StreamReader reader;
};

std::vector<Arrival> PoissonArrivals(const std::string& tenant, double per_second,
                                     absl::Duration length, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap(per_second);
  std::vector<Arrival> arrivals;
  for (absl::Duration at = absl::Seconds(gap(random)); at < length;
       at += absl::Seconds(gap(random))) {
    arrivals.push_back({at, tenant});
  }
  return arrivals;
}

int64_t LoadResult::TokensOf(const std::string& tenant, absl::Time until) const {
  int64_t tokens = 0;
  for (const Outcome& outcome : outcomes) {
    if (!tenant.empty() && outcome.tenant != tenant) continue;
    if (outcome.first_token <= until) tokens += outcome.prompt_tokens + outcome.generated_tokens;
  }
  return tokens;
}

std::vector<absl::Duration> LoadResult::FirstTokens(const std::string& tenant) const {
  std::vector<absl::Duration> waits;
  for (const Outcome& outcome : outcomes) {
    if (!outcome.accepted || (!tenant.empty() && outcome.tenant != tenant)) continue;
    // One that was still waiting at the end has waited at least until then.
    waits.push_back(std::min(outcome.first_token, end) - outcome.arrived);
  }
  std::sort(waits.begin(), waits.end());
  return waits;
}

absl::Duration Percentile(const std::vector<absl::Duration>& sorted, double p) {
  if (sorted.empty()) return absl::ZeroDuration();
  const auto rank = static_cast<size_t>(std::ceil(p / 100 * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

VirtualLoad::VirtualLoad(EngineOptions options, StepCost cost, const TenantDirectory* tenants)
    : options_([&] {
        options.start_thread = false;
        options.seed = 1;
        return options;
      }()),
      cost_(cost),
      executor_(std::make_unique<Executor>(options_, cost, &clock_)) {
  EngineDeps deps;
  deps.executor = executor_.get();
  deps.tokenizer = &tokenizer_;
  deps.catalogue = &catalogue_;
  deps.residency = &residency_;
  deps.clock = &clock_;
  deps.tenants = tenants;
  auto engine = Engine::Create(options_, deps);
  if (!engine.ok()) std::abort();
  engine_ = *std::move(engine);
}

VirtualLoad::~VirtualLoad() = default;

absl::Duration VirtualLoad::FullStep() const {
  return cost_.fixed + options_.step_tokens * cost_.row;
}

int64_t VirtualLoad::rows() const { return executor_->rows(); }

LoadResult VirtualLoad::Run(std::vector<Arrival> arrivals, absl::Duration length,
                            const std::function<void(const LoadResult&)>& watch) {
  std::stable_sort(arrivals.begin(), arrivals.end(),
                   [](const Arrival& a, const Arrival& b) { return a.at < b.at; });
  LoadResult result;
  result.begin = clock_.Now();
  result.end = result.begin + length;
  size_t next = 0;
  while (clock_.Now() < result.end) {
    while (next < arrivals.size() && result.begin + arrivals[next].at <= clock_.Now()) {
      Submit(arrivals[next++], &result);
    }
    if (engine_->Step()) {
      ++result.steps;
      ReadAll(&result);
      if (watch) watch(result);
      continue;
    }
    const absl::Time then = next < arrivals.size() ? result.begin + arrivals[next].at : result.end;
    clock_.Advance(std::max(then - clock_.Now(), absl::Milliseconds(1)));
  }
  streams_.clear();
  engine_->Stop();
  result.rows = executor_->rows();
  return result;
}

void VirtualLoad::Submit(const Arrival& arrival, LoadResult* result) {
  Outcome outcome;
  outcome.tenant = arrival.tenant;
  outcome.arrived = result->begin + arrival.at;
  outcome.prompt_tokens = arrival.prompt_tokens;
  Request request;
  request.request_id = std::to_string(result->outcomes.size());
  request.tenant = arrival.tenant;
  // No two prompts begin alike, so nothing is found in the prefix index.
  request.prompt_text = request.request_id + "|";
  request.prompt_text.resize(static_cast<size_t>(arrival.prompt_tokens), 'p');
  request.stop.max_tokens = arrival.answer_tokens;
  const auto begin = std::chrono::steady_clock::now();
  absl::StatusOr<StreamReader> reader = engine_->Submit(std::move(request));
  outcome.accepted = reader.ok();
  if (reader.ok()) {
    streams_.push_back({result->outcomes.size(), *std::move(reader)});
  } else {
    outcome.refusal_took = absl::FromChrono(std::chrono::steady_clock::now() - begin);
  }
  result->outcomes.push_back(std::move(outcome));
}

void VirtualLoad::ReadAll(LoadResult* result) {
  const absl::Time now = clock_.Now();
  std::erase_if(streams_, [&](Stream& stream) {
    const std::optional<StreamEvents> events = stream.reader.TryRead();
    if (!events.has_value()) return false;
    Outcome& outcome = result->outcomes[stream.outcome];
    for (const StreamDelta& delta : events->deltas) {
      if (outcome.generated_tokens == 0) outcome.first_token = now;
      outcome.generated_tokens += static_cast<int32_t>(delta.token_ids.size());
    }
    if (!events->terminal()) return false;
    outcome.ended = now;
    outcome.finished = events->finished.has_value();
    return true;
  });
}

}  // namespace lamella::stress
