#include "tests/stress/neighbours.h"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "server/engine/engine.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/random_adapter.h"

namespace lamella::testing {
namespace {

constexpr char kTenant[] = "t";
constexpr int32_t kPrefixTokens = 40;

// Two independent 64-bit hashes: that a differing row is taken for an equal one is out of the
// question.
struct Digest {
  uint64_t a = 0xCBF29CE484222325u;
  uint64_t b = 0x9E3779B97F4A7C15u;
  void Add(uint64_t word) {
    a = (a ^ word) * 0x100000001B3u;
    b = (b + word) * 0xFF51AFD7ED558CCDu;
    b ^= b >> 32;
  }
  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest&, const Digest&) = default;
};

// Remembers the bits of every row of logits by what they depend on: adapter and tokens.
class Witness final : public ModelExecutor {
 public:
  explicit Witness(ModelExecutor* executor, NeighbourFigures* figures)
      : executor_(executor), figures_(figures) {}

  const ExecutorLimits& limits() const override { return executor_->limits(); }
  void Launch(const StepInput& input) override {
    input_ = input;
    input_.want_logits = true;
    executor_->Launch(input_);
  }
  absl::Status Wait(StepOutput* output) override {
    RETURN_IF_ERROR(executor_->Wait(output));
    const auto vocab = static_cast<size_t>(limits().vocab_size);
    for (size_t i = 0; i < output->sampled.size(); ++i) {
      const SequenceRows& rows =
          input_.sequences[static_cast<size_t>(output->sampled[i].sequence_index)];
      Compare(KeyOf(rows), std::span(output->logits).subspan(i * vocab, vocab));
    }
    return absl::OkStatus();
  }

 private:
  Digest KeyOf(const SequenceRows& rows) const {
    Digest key;
    for (const LoraSegment& segment : input_.segments) {
      if (segment.row_begin <= rows.row_begin && rows.row_begin < segment.row_end) {
        key.Add(reinterpret_cast<uintptr_t>(segment.weights));
      }
    }
    const auto end = static_cast<size_t>(rows.first_position + rows.row_count);
    for (const int32_t token : rows.tokens.first(end)) key.Add(static_cast<uint64_t>(token) + 1);
    return key;
  }
  void Compare(const Digest& key, std::span<const float> logits) {
    Digest bits;
    for (const float logit : logits) bits.Add(std::bit_cast<uint32_t>(logit));
    const auto [seen, is_new] = seen_.try_emplace(key, bits);
    if (is_new) return;
    ++figures_->compared_logits;
    if (seen->second != bits) ++figures_->different_logits;
  }

  ModelExecutor* const executor_;
  NeighbourFigures* const figures_;
  StepInput input_;
  std::map<Digest, Digest> seen_;
};

// Adapters that are always in memory.
class Residents final : public AdapterCatalogue, public AdapterResidency {
 public:
  void Add(const std::string& name, std::shared_ptr<const AdapterWeights> weights) {
    AdapterRef ref{kTenant, name, std::string(64, name[0])};
    weights_[ref.Key()] = std::move(weights);
    refs_[name] = std::move(ref);
  }
  absl::StatusOr<AdapterRef> Resolve(std::string_view, std::string_view adapter_id,
                                     std::string_view) const override {
    return adapter_id.empty() ? AdapterRef() : refs_.at(std::string(adapter_id));
  }
  std::vector<AdapterSummary> ListUsable(std::string_view) const override { return {}; }
  void RequestLoad(const AdapterRef&, std::function<void()> on_settled) override { on_settled(); }
  absl::StatusOr<AdapterPin> TryPin(const AdapterRef& ref) override {
    return AdapterPin(ref, weights_.at(ref.Key()));
  }

 private:
  std::map<std::string, AdapterRef> refs_;
  std::map<std::string, std::shared_ptr<const AdapterWeights>> weights_;
};

class Comparison {
 public:
  Comparison(RealBase* base, const NeighbourOptions& options)
      : options_(options), random_(options.seed), witness_(base->executor.get(), &figures_) {
    names_.emplace_back();
    int32_t number = 0;
    for (auto& [name, weights] : base->adapters) Take(number++, std::move(weights));
    while (number < 4) {
      RandomAdapterOptions random;
      random.seed = static_cast<uint32_t>(number);
      random.rank = 4 + 4 * number;
      Take(number++,
           MakeRandomAdapter(base->executor->base_spec(), base->executor->kernel_table(), random));
    }
  }

  absl::StatusOr<NeighbourFigures> Run() {
    MakeRequests();
    for (size_t i = 0; i < requests_.size(); ++i) {
      EngineOptions alone = SmallOptions();
      alone.prefix_reuse = false;
      RETURN_IF_ERROR(Serve(alone, {i}, /*is_reference=*/true));
    }
    for (int32_t schedule = 0; schedule < options_.schedules; ++schedule) {
      std::vector<size_t> order(requests_.size());
      for (size_t i = 0; i < order.size(); ++i) order[i] = i;
      std::shuffle(order.begin(), order.end(), random_);
      RETURN_IF_ERROR(Serve(RandomOptions(schedule), order, /*is_reference=*/false));
    }
    return figures_;
  }

 private:
  using Tokens = std::map<int32_t, std::vector<int32_t>>;  // by choice

  void Take(int32_t number, std::shared_ptr<const AdapterWeights> weights) {
    names_.push_back(std::string(1, static_cast<char>('a' + number)));
    residents_.Add(names_.back(), std::move(weights));
  }
  int32_t Draw(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }

  static EngineOptions SmallOptions() {
    EngineOptions options;
    options.start_thread = false;
    options.step_tokens = 64;
    options.prefill_chunk_tokens = 32;
    options.max_running = 16;
    options.seed = 1;
    return options;
  }
  // Every other schedule promises more blocks than there are, so that requests are sent back.
  EngineOptions RandomOptions(int32_t schedule) {
    EngineOptions options = SmallOptions();
    options.max_running = Draw(6, 16);
    options.step_tokens = options.max_running + Draw(1, 80);
    options.prefill_chunk_tokens = Draw(1, 48);
    options.kv_overcommit = schedule % 2 == 0 ? 4.0 : 1.0;
    options.prefix_reuse = Draw(0, 3) > 0;
    return options;
  }

  // Beginnings that some share, greedy and sampled, one to three answers.
  void MakeRequests() {
    const int32_t vocab = witness_.limits().vocab_size;
    std::vector<std::vector<int32_t>> beginnings(3);
    for (auto& beginning : beginnings) {
      for (int32_t i = 0; i < kPrefixTokens; ++i) beginning.push_back(Draw(0, vocab - 1));
    }
    for (int32_t i = 0; i < options_.requests; ++i) {
      Request request;
      request.request_id = std::to_string(i);
      request.tenant = kTenant;
      request.adapter_id = names_[static_cast<size_t>(i) % names_.size()];
      request.prompt_is_text = false;
      request.prompt_token_ids = beginnings[static_cast<size_t>(Draw(0, 2))];
      for (int32_t more = Draw(0, 30); more > 0; --more) {
        request.prompt_token_ids.push_back(Draw(0, vocab - 1));
      }
      request.stop.max_tokens = Draw(4, 40);
      request.stop.ignore_eos = true;
      request.n = i % 5 == 0 ? 3 : 1;
      if (i % 2 == 1) {
        request.sampling.temperature = 0.8F;
        request.sampling.top_p = 0.95F;
        request.sampling.seed = static_cast<uint64_t>(i);
        request.sampling.has_seed = true;
      }
      requests_.push_back(std::move(request));
    }
    alone_.resize(requests_.size());
  }

  absl::Status Serve(const EngineOptions& options, const std::vector<size_t>& order,
                     bool is_reference) {
    MetricsRegistry registry;
    EngineDeps deps;
    deps.executor = &witness_;
    deps.tokenizer = &tokenizer_;
    deps.catalogue = &residents_;
    deps.residency = &residents_;
    deps.clock = &clock_;
    deps.metrics = registry.metrics();
    ASSIGN_OR_RETURN(const auto engine, Engine::Create(options, deps));
    std::map<size_t, StreamReader> readers;
    std::map<size_t, Tokens> told;
    for (size_t next = 0; next < order.size() || engine->in_flight() > 0;) {
      for (int32_t arriving = Draw(0, 2); arriving > 0 && next < order.size(); --arriving) {
        ASSIGN_OR_RETURN(readers[order[next]], engine->Submit(requests_[order[next]]));
        ++next;
      }
      engine->Step();
      RETURN_IF_ERROR(engine->CheckIntegrity());
      for (auto& [index, reader] : readers) Read(index, &reader, &told[index]);
    }
    for (const size_t index : order) {
      if (is_reference) {
        alone_[index] = told[index];
      } else {
        Judge(index, told[index]);
      }
    }
    figures_.preemptions += static_cast<int64_t>(registry.metrics()->preemptions.Value());
    figures_.cached_tokens += static_cast<int64_t>(registry.metrics()->cached_tokens.Value());
    return absl::OkStatus();
  }

  void Read(size_t index, StreamReader* reader, Tokens* told) {
    const std::optional<StreamEvents> events = reader->TryRead();
    if (!events.has_value()) return;
    for (const StreamDelta& delta : events->deltas) {
      std::vector<int32_t>& tokens = (*told)[delta.choice];
      tokens.insert(tokens.end(), delta.token_ids.begin(), delta.token_ids.end());
    }
    if (events->error.ok()) return;
    ++figures_.failed;
    Fault(index, events->error.ToString());
  }

  void Judge(size_t index, const Tokens& told) {
    for (const auto& [choice, tokens] : alone_[index]) {
      const auto found = told.find(choice);
      for (size_t i = 0; i < tokens.size(); ++i) {
        ++figures_.compared_tokens;
        if (found != told.end() && i < found->second.size() && found->second[i] == tokens[i]) {
          continue;
        }
        ++figures_.different_tokens;
        Fault(index, "token " + std::to_string(i) + " of choice " + std::to_string(choice));
      }
    }
  }

  void Fault(size_t index, const std::string& what) {
    if (!figures_.first_fault.empty()) return;
    figures_.first_fault = "request " + std::to_string(index) + ": " + what;
  }

  const NeighbourOptions options_;
  std::mt19937 random_;
  NeighbourFigures figures_;
  Witness witness_;
  Residents residents_;
  FakeTokenizer tokenizer_;
  RealClock clock_;
  std::vector<std::string> names_;  // of adapters; the first is the base
  std::vector<Request> requests_;
  std::vector<Tokens> alone_;
};

}  // namespace

absl::StatusOr<NeighbourFigures> CompareNeighbours(RealBase* base,
                                                   const NeighbourOptions& options) {
  return Comparison(base, options).Run();
}

}  // namespace lamella::testing
