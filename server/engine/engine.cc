#include "server/engine/engine.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>
#include <utility>

#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "server/engine/admission.h"
#include "server/engine/engine_loop.h"
#include "server/engine/request_checks.h"

namespace lamella {
namespace {

absl::Status CheckAgainstExecutor(const EngineOptions& options, const ExecutorLimits& executor) {
  const auto too_large = [](const char* field, int32_t value, int32_t limit) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kOutOfRange, field,
                     std::string(field) + " may be " + std::to_string(limit) +
                         " with this executor, got " + std::to_string(value));
  };
  if (options.step_tokens > executor.max_rows) {
    return too_large("step_tokens", options.step_tokens, executor.max_rows);
  }
  if (options.max_running > executor.max_sequences) {
    return too_large("max_running", options.max_running, executor.max_sequences);
  }
  return absl::OkStatus();
}

// A different, well-mixed number for each index (the finalizer of SplitMix64, Steele et al. 2014).
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t FirstSeed(const EngineOptions& options) {
  if (options.seed != 0) return Mix(options.seed);
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

struct Engine::Impl {
  Impl(EngineOptions options_in, EngineDeps deps_in)
      : options(Agreeing(options_in)),
        deps(WithMetrics(deps_in)),
        admission(options.admission, deps.tenants, deps.clock, deps.metrics->waiting_tokens),
        inbox(std::make_shared<EngineLoop::Inbox>(
            static_cast<size_t>(options.admission.most_queued()))),
        loop(options, deps, &admission, inbox),
        next_seed(FirstSeed(options)) {}

  static EngineOptions Agreeing(EngineOptions given) {
    // All choices of a request run together.
    given.limits.max_n = std::min(given.limits.max_n, given.max_running);
    given.admission.fair_shares = given.policy == EngineOptions::Policy::kVtc;
    return given;
  }
  EngineDeps WithMetrics(EngineDeps given) const {
    if (given.metrics == nullptr) given.metrics = &no_metrics;
    return given;
  }

  absl::StatusOr<std::vector<int32_t>> Tokenize(Request* request) const;
  // Brings the deadline nearer if the server allows less. The limit then, else infinite.
  absl::Duration LimitTime(Request* request) const;

  const Metrics no_metrics;
  const EngineOptions options;
  const EngineDeps deps;
  AdmissionController admission;
  // Holds all that may be queued, so that a push fails only when it is closed.
  const std::shared_ptr<EngineLoop::Inbox> inbox;
  EngineLoop loop;
  std::atomic<uint64_t> next_seed;
  Mutex stop_mutex;  // serializes Stop
  bool stopped GUARDED_BY(stop_mutex) = false;
  std::thread thread;
};

absl::StatusOr<std::vector<int32_t>> Engine::Impl::Tokenize(Request* request) const {
  if (!request->prompt_is_text) return std::move(request->prompt_token_ids);
  EncodeOptions encode;
  encode.parse_special_tokens = request->parse_special_tokens;
  ASSIGN_OR_RETURN(Encoding encoding, deps.tokenizer->Encode(request->prompt_text, encode));
  return std::move(encoding.ids);
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(EngineOptions options, EngineDeps deps) {
  RETURN_IF_ERROR(options.Validate());
  RETURN_IF_ERROR(CheckAgainstExecutor(options, deps.executor->limits()));
  auto impl = std::make_unique<Impl>(options, deps);
  if (options.start_thread) {
    impl->thread = std::thread([loop = &impl->loop] { loop->Run(); });
  }
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Engine::~Engine() { Stop(); }

absl::Duration Engine::Impl::LimitTime(Request* request) const {
  const absl::Time end = deps.clock->Now() + options.max_request_time;
  if (request->deadline <= end) return absl::InfiniteDuration();
  request->deadline = end;
  return options.max_request_time;
}

absl::StatusOr<StreamReader> Engine::Submit(Request request) {
  const EngineDeps& deps = impl_->deps;
  const ExecutorLimits& executor = deps.executor->limits();
  const absl::Duration time_limit = impl_->LimitTime(&request);
  ASSIGN_OR_RETURN(
      AdmissionTicket ticket,
      impl_->admission.Admit({.tenant = request.tenant,
                              .least_tokens = static_cast<int64_t>(request.prompt_token_ids.size()),
                              .deadline = request.deadline}));
  RETURN_IF_ERROR(CheckBeforeTokenizing(request, impl_->options.limits, executor));
  ASSIGN_OR_RETURN(AdapterRef adapter,
                   deps.catalogue->Resolve(request.tenant, request.adapter_id, request.request_id));
  ASSIGN_OR_RETURN(std::vector<int32_t> prompt, impl_->Tokenize(&request));
  RETURN_IF_ERROR(CheckExactly(request, prompt, executor));
  RETURN_IF_ERROR(ticket.Settle(static_cast<int64_t>(prompt.size())));

  request.stop.max_tokens = AnswerLimit(request, prompt, executor);
  if (!request.sampling.greedy() && !request.sampling.has_seed) {
    request.sampling.seed = Mix(impl_->next_seed.fetch_add(1, std::memory_order_relaxed));
  }
  auto [writer, reader] = MakeTokenStream(
      {impl_->options.stream_buffer_bytes, [inbox = impl_->inbox] { inbox->Wake(); }});
  const auto prompt_tokens = static_cast<double>(prompt.size());
  // Now, not in the loop: a load and the step that runs at this moment go on side by side.
  auto settled = impl_->loop.RequestLoad(adapter);
  Submission submission{std::move(request.request_id),
                        std::move(request.tenant),
                        std::move(adapter),
                        std::move(settled),
                        std::move(prompt),
                        std::move(request.sampling),
                        std::move(request.stop),
                        request.n,
                        request.logprobs,
                        request.priority,
                        std::move(request.cache_salt),
                        request.deadline,
                        time_limit,
                        std::move(request.trace),
                        std::move(ticket),
                        std::move(writer)};
  if (!impl_->inbox->Push(std::move(submission))) {
    return MakeRetryableError(absl::StatusCode::kUnavailable, reasons::kDraining,
                              "the server is shutting down", absl::Seconds(1));
  }
  deps.metrics->requests_accepted.Increment();
  deps.metrics->prompt_tokens.Increment(prompt_tokens);
  return std::move(reader);
}

void Engine::BeginDrain(absl::Duration grace) {
  impl_->admission.BeginDrain(impl_->deps.clock->Now() + grace);
  impl_->inbox->Wake();
}

void Engine::Drain(absl::Duration grace) {
  BeginDrain(grace);
  if (impl_->options.start_thread) impl_->admission.WaitUntilEmpty();
}

void Engine::Stop() {
  impl_->admission.BeginDrain(impl_->deps.clock->Now());
  MutexLock lock(&impl_->stop_mutex);
  if (impl_->stopped) return;
  impl_->stopped = true;
  impl_->inbox->Close();
  if (impl_->thread.joinable()) {
    impl_->thread.join();
  } else {
    impl_->loop.EndAll();
  }
}

bool Engine::Step() { return impl_->loop.Step(); }

absl::Status Engine::CheckIntegrity() const { return impl_->loop.CheckIntegrity(); }

const RequestLimits& Engine::limits() const { return impl_->options.limits; }

int32_t Engine::max_prompt_tokens() const {
  return impl_->deps.executor->limits().context_tokens - 1;
}

int32_t Engine::queued() const { return impl_->admission.queued(); }

int32_t Engine::in_flight() const { return impl_->admission.in_flight(); }

TenantLoad Engine::LoadOf(std::string_view tenant) const { return impl_->admission.LoadOf(tenant); }

std::map<std::string, TenantLoad> Engine::Loads() const { return impl_->admission.Loads(); }

}  // namespace lamella
