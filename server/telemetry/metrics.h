// The metrics of one server: a struct of handles that rooms receive by pointer and write to. Names,
// labels and buckets are set where the handles are made (metrics_registry.cc). A default-made
// handle, and so a default-made Metrics, takes every call and keeps nothing: what tests use unless
// they look. Thread-safe; no call waits for anything but a short lock.
//
// Labels are bounded: a CounterByReason has at most kMaxReasons values, then "other". No metric
// carries a tenant, an adapter or a request.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace lamella {

// A handle to a count that only grows. Borrows from the registry, which must outlive its use.
class Counter {
 public:
  Counter() = default;
  explicit Counter(prometheus::Counter* counter) : counter_(counter) {}
  void Increment(double by = 1) const;
  double Value() const;  // 0 if it keeps nothing

 private:
  prometheus::Counter* counter_ = nullptr;
};

// A handle to a value that comes and goes.
class Gauge {
 public:
  Gauge() = default;
  explicit Gauge(prometheus::Gauge* gauge) : gauge_(gauge) {}
  void Set(double value) const;
  void Add(double by) const;  // may be negative
  double Value() const;       // 0 if it keeps nothing

 private:
  prometheus::Gauge* gauge_ = nullptr;
};

// A handle to a distribution.
class Histogram {
 public:
  Histogram() = default;
  explicit Histogram(prometheus::Histogram* histogram) : histogram_(histogram) {}
  void Observe(double value) const;

 private:
  prometheus::Histogram* histogram_ = nullptr;
};

// Counters that differ in the label `reason`.
class CounterByReason {
 public:
  static constexpr int kMaxReasons = 64;

  class Impl {
   public:
    virtual ~Impl() = default;
    virtual Counter WithReason(std::string_view reason) = 0;
  };

  CounterByReason() = default;
  explicit CounterByReason(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  // Made on first use.
  Counter WithReason(std::string_view reason) const {
    return impl_ == nullptr ? Counter() : impl_->WithReason(reason);
  }

 private:
  std::shared_ptr<Impl> impl_;
};

struct Metrics {
  // Requests. Accepted is counted by the engine; each accepted request is counted in finished once,
  // by the engine too: "stop_token", "stop_string", "length", or for a request that failed the
  // ErrorInfo reason in lower case ("cancelled", "deadline_exceeded", "slow_reader", ...).
  Counter requests_accepted;          // lamella_requests_accepted_total
  CounterByReason requests_finished;  // lamella_requests_finished_total{reason}
  // Refused before it was accepted, by ErrorInfo reason in lower case. Counted by `api` alone,
  // which sees its own refusals and the engine's.
  CounterByReason requests_rejected;  // lamella_requests_rejected_total{reason}

  Counter prompt_tokens;     // lamella_prompt_tokens_total: of accepted requests
  Counter generated_tokens;  // lamella_generated_tokens_total: committed

  // The engine's loop.
  Gauge running_sequences;           // lamella_running_sequences
  Gauge waiting_sequences;           // lamella_waiting_sequences
  Histogram step_seconds;            // lamella_step_seconds: Launch to Wait's return
  Histogram step_rows;               // lamella_step_rows
  Histogram step_distinct_adapters;  // lamella_step_distinct_adapters: the base not counted
  Gauge kv_blocks_used;              // lamella_kv_blocks_used
  Gauge kv_blocks_cached;            // lamella_kv_blocks_cached: unused, their prefix kept
  Gauge kv_blocks_total;             // lamella_kv_blocks_total
  Counter cached_tokens;  // lamella_cached_prompt_tokens_total: found in the prefix index
  Counter preemptions;    // lamella_preemptions_total: requests sent back for want of blocks
  Counter replacements;   // lamella_fair_replacements_total: and for another tenant's turn
  // Times that an idle engine missed blocks or pins; anything but 0 is a bug.
  Counter integrity_failures;  // lamella_integrity_failures_total

  // What a caller feels.
  Histogram first_token_seconds;  // lamella_first_token_seconds: accepted to first token
  Histogram inter_token_seconds;  // lamella_inter_token_seconds: between tokens of one sequence
  Histogram queue_seconds;        // lamella_queue_seconds: accepted to first scheduled

  // The adapter cache.
  Gauge adapter_cache_bytes;        // lamella_adapter_cache_bytes: what is resident is charged
  Gauge adapter_packed_bytes;       // lamella_adapter_packed_bytes: of these, packed matrices
  Gauge adapter_cache_limit_bytes;  // lamella_adapter_cache_limit_bytes
  Counter adapter_cache_hits;    // lamella_adapter_cache_hits_total: requests that found it there
  Counter adapter_cache_misses;  // lamella_adapter_cache_misses_total: and that did not
  Counter adapter_evictions;     // lamella_adapter_evictions_total
  Counter adapter_loads;         // lamella_adapter_loads_total: finished well
  CounterByReason adapter_load_failures;  // lamella_adapter_load_failures_total{reason}
  Histogram adapter_load_seconds;         // lamella_adapter_load_seconds: read, verify, pack
};

}  // namespace lamella
