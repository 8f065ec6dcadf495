// The metrics of one server: a struct of handles that rooms receive by pointer and write to. Names,
// labels and buckets are set where the handles are made (metrics_registry.cc). A default-made
// handle, and so a default-made Metrics, takes every call and keeps nothing: what tests use unless
// they look. Thread-safe; no call waits for anything but a short lock.
//
// Labels are bounded: a CounterByReason has at most kMaxReasons values, then "other"; tenants and
// adapters are told apart up to as many as the operator wants (bounded_counters.h). No metric
// carries a request. docs/metrics.md lists them all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"

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

// A handle to a distribution, kept once or in two sets of buckets.
class Histogram {
 public:
  Histogram() = default;
  explicit Histogram(prometheus::Histogram* histogram) : histogram_(histogram) {}
  void Observe(double value) const;
  // What is observed through this handle, and copies of it, is kept in `mirror` too.
  void MirrorTo(prometheus::Histogram* mirror) { mirror_ = mirror; }

 private:
  prometheus::Histogram* histogram_ = nullptr;
  prometheus::Histogram* mirror_ = nullptr;
};

// Counters that differ in one label, a word: `reason`, `result`.
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

// What is counted for each tenant and for each adapter: the order is that of the names in
// metrics_registry.cc.
enum class TenantCount {
  kRequests,         // accepted
  kRejected,         // refused, once the caller was known
  kPromptTokens,     // of accepted requests
  kCachedTokens,     // of these, found in the prefix index
  kGeneratedTokens,  // committed
  kAdapterLoads,     // finished well
  kServiceTokens,    // what fair shares charged, in prompt tokens, before weights
  kUploadsRefused,   // by a quota
};
inline constexpr int kTenantCounts = 8;
enum class AdapterCount { kRequests, kPromptTokens, kGeneratedTokens, kLoads };
inline constexpr int kAdapterCounts = 4;

class BoundedCounters;

// Counters by tenant.
class CountersByTenant {
 public:
  CountersByTenant() = default;
  explicit CountersByTenant(std::shared_ptr<BoundedCounters> counters)
      : counters_(std::move(counters)) {}
  void Add(std::string_view tenant, TenantCount what, double by = 1) const;
  // Since the start, by TenantCount, whether or not the tenant has a label of its own. Empty: not
  // known.
  std::vector<double> Of(std::string_view tenant) const;

 private:
  std::shared_ptr<BoundedCounters> counters_;
};

// Counters by adapter of a tenant.
class CountersByAdapter {
 public:
  CountersByAdapter() = default;
  explicit CountersByAdapter(std::shared_ptr<BoundedCounters> counters)
      : counters_(std::move(counters)) {}
  void Add(std::string_view tenant, std::string_view adapter, AdapterCount what,
           double by = 1) const;

 private:
  std::shared_ptr<BoundedCounters> counters_;
};

// Which adapters have requests at this moment; what routers choose a replica by.
struct AdaptersAtWork {
  int32_t most = 0;                  // that can run at one time
  std::vector<std::string> running;  // names, sorted, each once
  std::vector<std::string> waiting;
  absl::Time at;  // when that was so
};

class AdaptersAtWorkGauge {
 public:
  class Impl {
   public:
    virtual ~Impl() = default;
    virtual void Set(AdaptersAtWork now) = 0;
  };

  AdaptersAtWorkGauge() = default;
  explicit AdaptersAtWorkGauge(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  // False: nobody would see it.
  bool wanted() const { return impl_ != nullptr; }
  void Set(AdaptersAtWork now) const {
    if (impl_ != nullptr) impl_->Set(std::move(now));
  }

 private:
  std::shared_ptr<Impl> impl_;
};

// Of files that are taken anew while the server runs.
struct ReloadMetrics {
  Counter reloads;   // ..._reloads_total: changes taken
  Counter failures;  // ..._reload_failures_total: changes refused; what was in force stayed
  Gauge stale;       // ..._stale: 1 while what is there was refused
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

  CountersByTenant by_tenant;    // lamella_tenant_*{tenant}
  CountersByAdapter by_adapter;  // lamella_tenant_adapter_*{tenant,adapter}: the base not counted

  Counter prompt_tokens;     // lamella_prompt_tokens_total: of accepted requests
  Counter generated_tokens;  // lamella_generated_tokens_total: committed

  // The engine's loop.
  Gauge running_sequences;               // lamella_running_sequences
  Gauge waiting_sequences;               // lamella_waiting_sequences
  Gauge waiting_tokens;                  // lamella_waiting_tokens: of prompts not yet in a step
  Histogram step_seconds;                // lamella_step_seconds: Launch to Wait's return
  Histogram step_rows;                   // lamella_step_rows
  Histogram step_distinct_adapters;      // lamella_step_distinct_adapters: the base not counted
  Gauge kv_blocks_used;                  // lamella_kv_blocks_used
  Gauge kv_blocks_cached;                // lamella_kv_blocks_cached: unused, their prefix kept
  Gauge kv_blocks_total;                 // lamella_kv_blocks
  Gauge kv_block_tokens;                 // lamella_kv_block_tokens: positions of one block
  AdaptersAtWorkGauge adapters_at_work;  // vllm:lora_requests_info
  Counter cached_tokens;  // lamella_cached_prompt_tokens_total: found in the prefix index
  Counter preemptions;    // lamella_preemptions_total: requests sent back for want of blocks
  Counter replacements;   // lamella_fair_replacements_total: and for another tenant's turn
  // Times that an idle engine missed blocks or pins; anything but 0 is a bug.
  Counter integrity_failures;  // lamella_integrity_failures_total

  // What a caller feels.
  Histogram first_token_seconds;  // lamella_first_token_seconds: accepted to first token
  Histogram inter_token_seconds;  // lamella_inter_token_seconds: between tokens of one sequence
  Histogram queue_seconds;        // lamella_queue_seconds: accepted to first scheduled
  // Of requests that got their whole answer.
  Histogram adapter_wait_seconds;      // lamella_adapter_wait_seconds: those with an adapter
  Histogram prefill_seconds;           // lamella_prefill_seconds: first scheduled to first token
  Histogram decode_seconds;            // lamella_decode_seconds: first token to last token
  Histogram inference_seconds;         // lamella_inference_seconds: first scheduled to last token
  Histogram request_seconds;           // lamella_request_seconds: accepted to last token
  Histogram request_prompt_tokens;     // lamella_request_prompt_tokens
  Histogram request_generated_tokens;  // lamella_request_generated_tokens: of all choices

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

  // The store.
  // lamella_uploads_total{result}: "created", "deduplicated", "validated" or the error's reason
  CounterByReason uploads;
  Counter upload_bytes;   // lamella_upload_bytes_total: of files, as they came
  Gauge stored_versions;  // lamella_stored_versions
  Gauge stored_bytes;     // lamella_stored_bytes

  // The server.
  Gauge draining;  // lamella_draining: 1 once it takes no new requests
  // Records of ended requests that found their queue full, or could not be written.
  Counter log_records_lost;     // lamella_request_log_lost_total
  Counter ledger_records_lost;  // lamella_usage_ledger_lost_total
  Counter spans_lost;           // lamella_spans_lost_total

  // Who may call, on all listeners. Refused calls reached no handler: metadata_too_large,
  // unauthenticated, permission_denied, not_implemented (an unknown method).
  CounterByReason calls_refused;  // lamella_calls_refused_total{reason}
  Counter stalled_streams;        // lamella_stalled_streams_total: cancelled, peer read nothing
  ReloadMetrics credentials;      // lamella_credentials_...
  ReloadMetrics tls;              // lamella_tls_...: certificate, key and client CA
  ReloadMetrics jwt_keys;         // lamella_jwt_keys_...
  Gauge tls_certificate_expiry;   // lamella_tls_certificate_expiry_timestamp_seconds: in Unix time
};

}  // namespace lamella
