#include "server/telemetry/metrics_registry.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "server/telemetry/bounded_counters.h"
#include "server/telemetry/process_metrics.h"
#include "server/telemetry/vllm_metrics.h"

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
// Whole requests and their parts.
const Buckets kRequestBuckets = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                 2.5,  5,     10,   30,  60,   120, 600};
const Buckets kTokenBuckets = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536};

// Tenants whose totals are remembered (TotalsOf); a credentials file names no more.
constexpr size_t kMostTotals = 8192;

class PrometheusByReason final : public CounterByReason::Impl {
 public:
  PrometheusByReason(prometheus::Family<prometheus::Counter>* family, std::string label)
      : family_(family), label_(std::move(label)) {
    WithReason("other");  // there from the start, so that a scraper knows the name
  }

  Counter WithReason(std::string_view reason) override {
    MutexLock lock(&mutex_);
    auto found = counters_.find(reason);
    if (found != counters_.end()) return found->second;
    // "other" is one more.
    if (counters_.size() > static_cast<size_t>(CounterByReason::kMaxReasons)) {
      return counters_.find("other")->second;
    }
    Counter counter(&family_->Add({{label_, std::string(reason)}}));
    counters_.emplace(reason, counter);
    return counter;
  }

 private:
  prometheus::Family<prometheus::Counter>* const family_;
  const std::string label_;
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
  CounterByReason MakeByReason(const char* name, const char* help, const char* label = "reason") {
    return CounterByReason(std::make_shared<PrometheusByReason>(&CounterFamily(name, help), label));
  }
  Gauge MakeGauge(const char* name, const char* help) {
    return Gauge(
        &prometheus::BuildGauge().Name(Prefixed(name)).Help(help).Register(registry_).Add({}));
  }
  ReloadMetrics MakeReload(const std::string& name, const std::string& what) {
    return {.reloads = MakeCounter((name + "_reloads_total").c_str(),
                                   ("Changes of " + what + " taken.").c_str()),
            .failures = MakeCounter((name + "_reload_failures_total").c_str(),
                                    ("Changes of " + what + " refused; the old stayed.").c_str()),
            .stale = MakeGauge((name + "_stale").c_str(),
                               ("1 while " + what + " is refused and the old in force.").c_str())};
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

void MakeAnswerMetrics(Maker make, Metrics* m) {
  m->adapter_wait_seconds = make.MakeHistogram("adapter_wait_seconds", kLatencyBuckets,
                                               "Of the queue time, waiting for the adapter.");
  m->prefill_seconds = make.MakeHistogram("prefill_seconds", kLatencyBuckets,
                                          "From the first step to the first token.");
  m->decode_seconds =
      make.MakeHistogram("decode_seconds", kRequestBuckets, "From the first token to the last.");
  m->inference_seconds = make.MakeHistogram("inference_seconds", kRequestBuckets,
                                            "From the first step to the last token.");
  m->request_seconds =
      make.MakeHistogram("request_seconds", kRequestBuckets, "From acceptance to the last token.");
  m->request_prompt_tokens =
      make.MakeHistogram("request_prompt_tokens", kTokenBuckets, "Prompt tokens of a request.");
  m->request_generated_tokens = make.MakeHistogram("request_generated_tokens", kTokenBuckets,
                                                   "Tokens generated for a request.");
}

void MakeEngineMetrics(Maker make, Metrics* m) {
  m->running_sequences = make.MakeGauge("running_sequences", "Sequences that hold KV blocks.");
  m->waiting_sequences = make.MakeGauge("waiting_sequences", "Sequences not yet scheduled.");
  m->waiting_tokens =
      make.MakeGauge("waiting_tokens", "Tokens of prompts accepted and not yet in a step.");
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
  m->kv_blocks_total = make.MakeGauge("kv_blocks", "KV blocks there are.");
  m->kv_block_tokens = make.MakeGauge("kv_block_tokens", "Positions of one KV block.");
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
  m->uploads = make.MakeByReason("uploads_total", "Uploads that ended, by how.", "result");
  m->upload_bytes =
      make.MakeCounter("upload_bytes_total", "Bytes of uploaded files, as they came.");
  m->stored_versions = make.MakeGauge("stored_versions", "Versions in the store.");
  m->stored_bytes = make.MakeGauge("stored_bytes", "Bytes of their files.");
}

void MakeServerMetrics(Maker make, Metrics* m) {
  m->draining = make.MakeGauge("draining", "1 once the server takes no new requests.");
  m->log_records_lost =
      make.MakeCounter("request_log_lost_total", "Ended requests that the log did not get.");
  m->ledger_records_lost = make.MakeCounter("usage_ledger_lost_total",
                                            "Ended requests that the usage ledger did not get.");
  m->spans_lost = make.MakeCounter("spans_lost_total", "Spans that the collector did not get.");
}

// In the order of TenantCount.
BoundedCountersOptions ByTenant(int32_t most) {
  const std::string prefix = "lamella_tenant_";
  return {
      .labels = {"tenant"},
      .counts = {{prefix + "requests_total", "Requests accepted."},
                 {prefix + "rejected_total", "Requests refused."},
                 {prefix + "prompt_tokens_total", "Prompt tokens of accepted requests."},
                 {prefix + "cached_prompt_tokens_total", "Of these, found in the prefix index."},
                 {prefix + "generated_tokens_total", "Tokens generated."},
                 {prefix + "loads_total", "Adapters loaded."},
                 {prefix + "service_tokens_total",
                  "What fair shares charged, in prompt tokens, before weights."},
                 {prefix + "uploads_refused_total", "Uploads that a quota refused."}},
      .most = static_cast<size_t>(most),
      .most_totals = kMostTotals};
}

// In the order of AdapterCount.
BoundedCountersOptions ByAdapter(int32_t most) {
  const std::string prefix = "lamella_tenant_adapter_";
  return {.labels = {"tenant", "adapter"},
          .counts = {{prefix + "requests_total", "Requests accepted."},
                     {prefix + "prompt_tokens_total", "Prompt tokens of accepted requests."},
                     {prefix + "generated_tokens_total", "Tokens generated."},
                     {prefix + "loads_total", "Loads of its versions."}},
          .most = static_cast<size_t>(most)};
}

void MakeIdentityMetrics(Maker make, Metrics* m) {
  m->calls_refused = make.MakeByReason(
      "calls_refused_total", "Calls of all listeners that no handler saw, by the error's reason.");
  m->stalled_streams = make.MakeCounter(
      "stalled_streams_total", "Streams cancelled since their peer did not read for too long.");
  m->credentials = make.MakeReload("credentials", "the credentials file");
  m->tls = make.MakeReload("tls", "certificate, key or client CA");
  m->jwt_keys = make.MakeReload("jwt_keys", "the key set for tokens");
  m->tls_certificate_expiry = make.MakeGauge("tls_certificate_expiry_timestamp_seconds",
                                             "When the certificate in force ends, in Unix time.");
}

}  // namespace

// What a scrape sees.
class MetricsRegistry::Everything final : public prometheus::Collectable {
 public:
  Everything(std::shared_ptr<prometheus::Registry> registry, const MetricsOptions& options,
             Metrics* metrics)
      : registry_(std::move(registry)),
        by_tenant_(std::make_shared<BoundedCounters>(ByTenant(options.most_tenants))),
        by_adapter_(std::make_shared<BoundedCounters>(ByAdapter(options.most_adapters))),
        tenants_(by_tenant_, static_cast<size_t>(options.most_tenants)) {
    metrics->by_tenant = CountersByTenant(by_tenant_);
    metrics->by_adapter = CountersByAdapter(by_adapter_);
    if (!options.vllm_names) return;
    vllm_ = std::make_unique<VllmMetrics>(metrics, options.model_name,
                                          static_cast<size_t>(options.most_adapters));
  }

  void SetTenantSource(TenantSource source) { tenants_.SetSource(std::move(source)); }

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> all = registry_->Collect();
    Append(by_tenant_->Collect(), &all);
    Append(tenants_.Collect(), &all);
    Append(by_adapter_->Collect(), &all);
    Append(process_.Collect(), &all);
    if (vllm_ != nullptr) Append(vllm_->Collect(), &all);
    return all;
  }

 private:
  static void Append(std::vector<prometheus::MetricFamily> families,
                     std::vector<prometheus::MetricFamily>* all) {
    for (prometheus::MetricFamily& family : families) all->push_back(std::move(family));
  }

  const std::shared_ptr<prometheus::Registry> registry_;
  const std::shared_ptr<BoundedCounters> by_tenant_;
  const std::shared_ptr<BoundedCounters> by_adapter_;
  TenantGauges tenants_;
  const ProcessMetrics process_;
  std::unique_ptr<VllmMetrics> vllm_;
};

MetricsRegistry::MetricsRegistry(const MetricsOptions& options)
    : registry_(std::make_shared<prometheus::Registry>()) {
  const Maker make(registry_.get());
  MakeRequestMetrics(make, &metrics_);
  MakeAnswerMetrics(make, &metrics_);
  MakeEngineMetrics(make, &metrics_);
  MakeAdapterMetrics(make, &metrics_);
  MakeServerMetrics(make, &metrics_);
  MakeIdentityMetrics(make, &metrics_);
  everything_ = std::make_shared<Everything>(registry_, options, &metrics_);
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

void MetricsRegistry::SetTenantSource(TenantSource source) {
  everything_->SetTenantSource(std::move(source));
}

std::string MetricsRegistry::Text() const {
  return prometheus::TextSerializer().Serialize(everything_->Collect());
}

std::shared_ptr<prometheus::Collectable> MetricsRegistry::collectable() const {
  return everything_;
}

}  // namespace lamella
