// The engine's face: requests go in, streams come out. Submit does what needs no engine state on
// the caller's thread (admission, resolving the adapter, tokenizing, exact checks) and hands the
// rest to the loop through a mailbox. It knows neither RPCs nor model code.
//
//   serving --Drain--> draining --Stop--> stopped        (Stop alone, or the destructor, will do)
//
// Thread-safe but for Step. The loop's thread is the sole owner of sequences, blocks and executor.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "server/core/adapter_catalogue.h"
#include "server/core/adapter_fault_sink.h"
#include "server/core/adapter_residency.h"
#include "server/core/model_executor.h"
#include "server/core/request.h"
#include "server/core/request_record.h"
#include "server/core/tenant_limits.h"
#include "server/engine/engine_options.h"
#include "server/engine/token_stream.h"
#include "server/telemetry/metrics.h"
#include "server/tokenizer/tokenizer.h"

namespace lamella {

// Borrowed; each outlives the engine. `residency` outlives the loads that it was asked for.
struct EngineDeps {
  ModelExecutor* executor = nullptr;
  const Tokenizer* tokenizer = nullptr;
  const AdapterCatalogue* catalogue = nullptr;
  AdapterResidency* residency = nullptr;
  const Clock* clock = nullptr;
  const Metrics* metrics = nullptr;          // may stay null
  AdapterFaultSink* faults = nullptr;        // may stay null
  const TenantDirectory* tenants = nullptr;  // may stay null: everyone has the defaults
  std::atomic<bool>* computing = nullptr;    // may stay null: set while one step follows the other
  RequestRecorder* recorder = nullptr;       // may stay null: told of every accepted request's end
};

class Engine {
 public:
  // INVALID_ARGUMENT if the options contradict themselves or the executor's limits.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(EngineOptions options, EngineDeps deps);
  // Stops. Readers may outlive the engine.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Accepts the request, which is a promise of exactly one terminal event, or refuses it at once:
  //   UNAVAILABLE (DRAINING), RESOURCE_EXHAUSTED (QUEUE_FULL), both with RetryInfo, the adapter
  //   catalogue's and the tokenizer's statuses, and INVALID_ARGUMENT (EMPTY_PROMPT,
  //   PROMPT_TOO_LONG, CANNOT_FIT, INVALID_TOKEN_ID, OUT_OF_RANGE, TOO_MANY) with the field.
  // Never waits for the engine.
  absl::StatusOr<StreamReader> Submit(Request request);

  // Refuses new work from now on, lets what was accepted finish, ends the rest with UNAVAILABLE
  // (DRAINING) after `grace`. Blocks until nothing is left: `grace` and one step at most.
  // With start_thread false it does not wait: the caller steps.
  void Drain(absl::Duration grace);
  // The first half of Drain: returns at once.
  void BeginDrain(absl::Duration grace);
  // Ends everything with UNAVAILABLE (DRAINING) and joins the thread. Any number of calls.
  void Stop();

  // One turn of the loop on the caller's thread; true if a step ran. Only with start_thread false.
  bool Step();
  // Nothing is lost: free and used blocks add up, pins belong to running sequences. Only with
  // start_thread false, or after Stop.
  absl::Status CheckIntegrity() const;

  const RequestLimits& limits() const;
  int32_t max_prompt_tokens() const;  // one token of the context is kept for an answer
  int32_t queued() const;             // accepted, not yet in a step
  int32_t in_flight() const;          // accepted, not yet ended
  TenantLoad LoadOf(std::string_view tenant) const;
  // Of each tenant that has requests in flight.
  std::map<std::string, TenantLoad> Loads() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella
