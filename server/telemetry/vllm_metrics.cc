#include "server/telemetry/vllm_metrics.h"

#include <prometheus/metric_family.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lamella {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Buckets = prometheus::Histogram::BucketBoundaries;

// vLLM's.
const Buckets kFirstTokenBuckets = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                    0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                    20,    40,    80,   160,  640,  2560};
const Buckets kInterTokenBuckets = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                    0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
const Buckets kRequestBuckets = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                 30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
const Buckets kTokenBuckets = {1,   2,    5,    10,   20,    50,    100,   200,
                               500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
const Buckets kIterationBuckets = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};

MetricFamily Family(const char* name, const char* help, MetricType type, ClientMetric metric) {
  MetricFamily family;
  family.name = absl::StrCat("vllm:", name);
  family.help = help;
  family.type = type;
  family.metric.push_back(std::move(metric));
  return family;
}

std::string Whole(double number) { return absl::StrCat(static_cast<int64_t>(number)); }

std::string Names(const std::vector<std::string>& names, size_t most) {
  return absl::StrJoin(names.begin(),
                       names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), most)),
                       ",");
}

}  // namespace

// Keeps the newest state alone: a label set that is not true any more cannot be seen.
class VllmMetrics::AtWork final : public AdaptersAtWorkGauge::Impl {
 public:
  explicit AtWork(size_t most_names) : most_names_(most_names) {}

  void Set(AdaptersAtWork now) override {
    MutexLock lock(&mutex_);
    now_ = std::move(now);
  }

  ClientMetric Metric(ClientMetric metric) const {
    MutexLock lock(&mutex_);
    metric.label.push_back({"max_lora", absl::StrCat(now_.most)});
    metric.label.push_back({"running_lora_adapters", Names(now_.running, most_names_)});
    metric.label.push_back({"waiting_lora_adapters", Names(now_.waiting, most_names_)});
    metric.gauge.value = absl::ToDoubleSeconds(now_.at - absl::UnixEpoch());
    return metric;
  }

 private:
  const size_t most_names_;
  mutable Mutex mutex_;
  AdaptersAtWork now_ GUARDED_BY(mutex_){
      .most = 0, .running = {}, .waiting = {}, .at = absl::UnixEpoch()};
};

VllmMetrics::VllmMetrics(Metrics* metrics, std::string model_name, size_t most_adapters)
    : metrics_(metrics),
      model_name_(std::move(model_name)),
      at_work_(std::make_shared<AtWork>(most_adapters)) {
  const auto mirror = [this](HistogramIndex index, const Buckets& buckets, Histogram* ours) {
    histograms_[index] = std::make_unique<prometheus::Histogram>(buckets);
    ours->MirrorTo(histograms_[index].get());
  };
  mirror(kFirstToken, kFirstTokenBuckets, &metrics->first_token_seconds);
  mirror(kInterToken, kInterTokenBuckets, &metrics->inter_token_seconds);
  mirror(kEndToEnd, kRequestBuckets, &metrics->request_seconds);
  mirror(kQueue, kRequestBuckets, &metrics->queue_seconds);
  mirror(kInference, kRequestBuckets, &metrics->inference_seconds);
  mirror(kPrefill, kRequestBuckets, &metrics->prefill_seconds);
  mirror(kDecode, kRequestBuckets, &metrics->decode_seconds);
  mirror(kPromptTokens, kTokenBuckets, &metrics->request_prompt_tokens);
  mirror(kGeneratedTokens, kTokenBuckets, &metrics->request_generated_tokens);
  mirror(kIterationTokens, kIterationBuckets, &metrics->step_rows);
  metrics->adapters_at_work = AdaptersAtWorkGauge(at_work_);
}

ClientMetric VllmMetrics::Labelled() const {
  ClientMetric metric;
  metric.label.push_back({"model_name", model_name_});
  return metric;
}

void VllmMetrics::AddGauges(std::vector<MetricFamily>* families) const {
  const auto add = [&](const char* name, const char* help, double value) {
    ClientMetric metric = Labelled();
    metric.gauge.value = value;
    families->push_back(Family(name, help, MetricType::Gauge, std::move(metric)));
  };
  const double blocks = metrics_->kv_blocks_total.Value();
  const double used = blocks == 0 ? 0 : metrics_->kv_blocks_used.Value() / blocks;
  add("num_requests_running", "Sequences that are computed.", metrics_->running_sequences.Value());
  add("num_requests_waiting", "Sequences that wait.", metrics_->waiting_sequences.Value());
  add("kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.", used);
  add("gpu_cache_usage_perc", "The same, under its older name.", used);
  ClientMetric config = Labelled();
  config.label.push_back({"block_size", Whole(metrics_->kv_block_tokens.Value())});
  config.label.push_back({"num_gpu_blocks", Whole(blocks)});
  config.gauge.value = 1;
  families->push_back(
      Family("cache_config_info", "Shape of the KV cache.", MetricType::Gauge, std::move(config)));
}

void VllmMetrics::AddCounters(std::vector<MetricFamily>* families) const {
  const auto counted = [&](double value) {
    ClientMetric metric = Labelled();
    metric.counter.value = value;
    return metric;
  };
  const auto add = [&](const char* name, const char* help, double value) {
    families->push_back(Family(name, help, MetricType::Counter, counted(value)));
  };
  add("prompt_tokens_total", "Prompt tokens.", metrics_->prompt_tokens.Value());
  add("generation_tokens_total", "Tokens generated.", metrics_->generated_tokens.Value());
  add("prefix_cache_queries_total", "Prompt tokens looked up in the prefix index.",
      metrics_->prompt_tokens.Value());
  add("prefix_cache_hits_total", "Of these, found.", metrics_->cached_tokens.Value());
  add("num_preemptions_total", "Requests sent back to wait.",
      metrics_->preemptions.Value() + metrics_->replacements.Value());
  MetricFamily success;
  success.name = "vllm:request_success_total";
  success.help = "Requests that ended, by how.";
  success.type = MetricType::Counter;
  const auto ended = [this](const char* reason) {
    return metrics_->requests_finished.WithReason(reason).Value();
  };
  const std::array<std::pair<const char*, double>, 3> reasons = {
      {{"stop", ended("stop_token") + ended("stop_string")},
       {"length", ended("length")},
       {"abort", ended("cancelled") + ended("deadline_exceeded") + ended("request_time_limit") +
                     ended("slow_reader")}}};
  for (const auto& [reason, value] : reasons) {
    success.metric.push_back(counted(value));
    success.metric.back().label.push_back({"finished_reason", reason});
  }
  families->push_back(std::move(success));
}

void VllmMetrics::AddHistograms(std::vector<MetricFamily>* families) const {
  const auto add = [&](const char* name, const char* help, HistogramIndex index) {
    ClientMetric metric = histograms_[index]->Collect();
    metric.label.push_back({"model_name", model_name_});
    families->push_back(Family(name, help, MetricType::Histogram, std::move(metric)));
  };
  add("time_to_first_token_seconds", "From acceptance to the first token.", kFirstToken);
  add("inter_token_latency_seconds", "Between two tokens of one sequence.", kInterToken);
  add("time_per_output_token_seconds", "The same, under its older name.", kInterToken);
  add("e2e_request_latency_seconds", "From acceptance to the last token.", kEndToEnd);
  add("request_queue_time_seconds", "From acceptance to the first step.", kQueue);
  add("request_inference_time_seconds", "From the first step to the last token.", kInference);
  add("request_prefill_time_seconds", "From the first step to the first token.", kPrefill);
  add("request_decode_time_seconds", "From the first token to the last.", kDecode);
  add("request_prompt_tokens", "Prompt tokens of a request.", kPromptTokens);
  add("request_generation_tokens", "Tokens generated for a request.", kGeneratedTokens);
  add("iteration_tokens_total", "Tokens of a step.", kIterationTokens);
}

std::vector<MetricFamily> VllmMetrics::Collect() const {
  std::vector<MetricFamily> families;
  AddGauges(&families);
  families.push_back(Family("lora_requests_info",
                            "Adapters that have requests; the value is when that was so.",
                            MetricType::Gauge, at_work_->Metric(Labelled())));
  AddCounters(&families);
  AddHistograms(&families);
  return families;
}

}  // namespace lamella
