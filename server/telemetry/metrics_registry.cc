#include "server/telemetry/metrics_registry.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>

#include "common/base/mutex.h"

namespace lamella {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// Loads of adapters and first tokens: a millisecond to a minute.
const Buckets kLatencyBuckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                 0.5,   1,      2.5,   5,    10,    25,   60};
// Steps and gaps between tokens.
const Buckets kStepBuckets = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04,
                              0.08,   0.16,  0.32,   0.64,  1.28, 2.56};
const Buckets kRowBuckets = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
const Buckets kAdapterBuckets = {0, 1, 2, 4, 8, 16, 32, 64};

class PrometheusByReason final : public CounterByReason::Impl {
 public:
  explicit PrometheusByReason(prometheus::Family<prometheus::Counter>* family) : family_(family) {}

  Counter WithReason(std::string_view reason) override {
    MutexLock lock(&mutex_);
    auto found = counters_.find(reason);
    if (found != counters_.end()) return found->second;
    const bool full = counters_.size() >= static_cast<size_t>(CounterByReason::kMaxReasons);
    const std::string label = full ? "other" : std::string(reason);
    // Add returns the counter that is there if the label is known.
    Counter counter(&family_->Add({{"reason", label}}));
    if (!full) counters_.emplace(label, counter);
    return counter;
  }

 private:
  prometheus::Family<prometheus::Counter>* const family_;
  Mutex mutex_;
  std::map<std::string, Counter, std::less<>> counters_ GUARDED_BY(mutex_);
};

// Makes one metric of each kind; `name` without the common prefix.
class Maker {
 public:
  explicit Maker(prometheus::Registry* registry) : registry_(*registry) {}

  Counter MakeCounter(const char* name, const char* help) {
    return Counter(&CounterFamily(name, help).Add({}));
  }
  CounterByReason MakeByReason(const char* name, const char* help) {
    return CounterByReason(std::make_shared<PrometheusByReason>(&CounterFamily(name, help)));
  }
  Gauge MakeGauge(const char* name, const char* help) {
    return Gauge(
        &prometheus::BuildGauge().Name(Prefixed(name)).Help(help).Register(registry_).Add({}));
  }
  Histogram MakeHistogram(const char* name, const Buckets& buckets, const char* help) {
    return Histogram(&prometheus::BuildHistogram()
                          .Name(Prefixed(name))
                          .Help(help)
                          .Register(registry_)
                          .Add({}, buckets));
  }

 private:
  static std::string Prefixed(const char* name) { return std::string("lamella_") + name; }
  prometheus::Family<prometheus::Counter>& CounterFamily(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(Prefixed(name)).Help(help).Register(registry_);
  }

  prometheus::Registry& registry_;
};

void MakeRequestMetrics(Maker make, Metrics* m) {
  m->requests_accepted = make.MakeCounter("requests_accepted_total", "Requests accepted.");
  m->requests_finished =
      make.MakeByReason("requests_finished_total", "Accepted requests that ended, by how.");
  m->requests_rejected =
      make.MakeByReason("requests_rejected_total", "Requests refused, by the error's reason.");
  m->prompt_tokens = make.MakeCounter("prompt_tokens_total", "Prompt tokens of accepted requests.");
  m->generated_tokens = make.MakeCounter("generated_tokens_total", "Tokens generated.");
  m->first_token_seconds = make.MakeHistogram("first_token_seconds", kLatencyBuckets,
                                              "From acceptance to the first token.");
  m->inter_token_seconds = make.MakeHistogram("inter_token_seconds", kStepBuckets,
                                              "Between two tokens of one sequence.");
  m->queue_seconds =
      make.MakeHistogram("queue_seconds", kLatencyBuckets, "From acceptance to the first step.");
}

void MakeEngineMetrics(Maker make, Metrics* m) {
  m->running_sequences = make.MakeGauge("running_sequences", "Sequences that hold KV blocks.");
  m->waiting_sequences = make.MakeGauge("waiting_sequences", "Sequences not yet scheduled.");
  m->step_seconds = make.MakeHistogram("step_seconds", kStepBuckets, "Duration of a step.");
  m->step_rows = make.MakeHistogram("step_rows", kRowBuckets, "Rows of a step.");
  m->step_distinct_adapters =
      make.MakeHistogram("step_distinct_adapters", kAdapterBuckets, "Distinct adapters of a step.");
  m->kv_blocks_used = make.MakeGauge("kv_blocks_used", "KV blocks in use.");
  m->kv_blocks_cached =
      make.MakeGauge("kv_blocks_cached", "KV blocks that nobody uses but that keep a prefix.");
  m->cached_tokens = make.MakeCounter("cached_prompt_tokens_total",
                                      "Prompt tokens that were found in the prefix index.");
  m->preemptions = make.MakeCounter("preemptions_total",
                                    "Running requests that were sent back for want of KV blocks.");
  m->replacements = make.MakeCounter(
      "fair_replacements_total", "Running requests that were sent back for another tenant's turn.");
  m->kv_blocks_total = make.MakeGauge("kv_blocks_total", "KV blocks there are.");
  m->integrity_failures =
      make.MakeCounter("integrity_failures_total", "Times that an idle engine missed blocks.");
}

void MakeAdapterMetrics(Maker make, Metrics* m) {
  m->adapter_cache_bytes = make.MakeGauge("adapter_cache_bytes", "Bytes of resident adapters.");
  m->adapter_packed_bytes =
      make.MakeGauge("adapter_packed_bytes", "Of these, bytes of packed matrices.");
  m->adapter_cache_limit_bytes = make.MakeGauge("adapter_cache_limit_bytes", "Their budget.");
  m->adapter_cache_hits =
      make.MakeCounter("adapter_cache_hits_total", "Requests whose adapter was resident.");
  m->adapter_cache_misses =
      make.MakeCounter("adapter_cache_misses_total", "Requests whose adapter was not resident.");
  m->adapter_evictions = make.MakeCounter("adapter_evictions_total", "Adapters evicted.");
  m->adapter_loads = make.MakeCounter("adapter_loads_total", "Adapters loaded.");
  m->adapter_load_failures =
      make.MakeByReason("adapter_load_failures_total", "Loads that failed, by reason.");
  m->adapter_load_seconds = make.MakeHistogram("adapter_load_seconds", kLatencyBuckets,
                                               "Reading, verifying and packing one adapter.");
}

}  // namespace

MetricsRegistry::MetricsRegistry() : registry_(std::make_shared<prometheus::Registry>()) {
  const Maker make(registry_.get());
  MakeRequestMetrics(make, &metrics_);
  MakeEngineMetrics(make, &metrics_);
  MakeAdapterMetrics(make, &metrics_);
}

MetricsRegistry::~MetricsRegistry() = default;

void MetricsRegistry::SetBuildInfo(const BuildInfo& info) {
  prometheus::BuildGauge()
      .Name("lamella_build_info")
      .Help("What runs; always 1.")
      .Register(*registry_)
      .Add({{"version", info.version}, {"isa", info.isa}, {"dtype", info.dtype}})
      .Set(1);
}

std::string MetricsRegistry::Text() const {
  return prometheus::TextSerializer().Serialize(registry_->Collect());
}

}  // namespace lamella
