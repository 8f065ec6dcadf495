#include "server/engine/loop_metrics.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "server/engine/request_end.h"

namespace lamella {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(250);

std::vector<std::string> AdaptersOf(const Scheduler::Requests& requests) {
  std::vector<std::string> names;
  for (const auto& request : requests) {
    if (!request->adapter.is_base()) names.push_back(request->adapter.name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace

LoopMetrics::LoopMetrics(const Metrics* metrics, Sources sources, int32_t block_tokens,
                         int32_t max_running)
    : metrics_(metrics),
      scheduler_(sources.scheduler),
      blocks_(sources.blocks),
      policy_(sources.policy),
      max_running_(max_running) {
  metrics_->kv_blocks_total.Set(blocks_->num_blocks());
  metrics_->kv_block_tokens.Set(block_tokens);
}

void LoopMetrics::Accepted(const Submission& submission) const {
  const auto prompt_tokens = static_cast<double>(submission.prompt.size());
  metrics_->by_tenant.Add(submission.tenant, TenantCount::kRequests);
  metrics_->by_tenant.Add(submission.tenant, TenantCount::kPromptTokens, prompt_tokens);
  if (submission.adapter.is_base()) return;
  const std::string& adapter = submission.adapter.name;
  metrics_->by_adapter.Add(submission.tenant, adapter, AdapterCount::kRequests);
  metrics_->by_adapter.Add(submission.tenant, adapter, AdapterCount::kPromptTokens, prompt_tokens);
}

void LoopMetrics::Turn(absl::Time now) {
  metrics_->waiting_sequences.Set(static_cast<double>(scheduler_->waiting().size()));
  metrics_->running_sequences.Set(scheduler_->running_sequences());
  metrics_->kv_blocks_used.Set(blocks_->used_blocks());
  metrics_->kv_blocks_cached.Set(blocks_->cached_blocks());
  const SchedulerCounters& counters = scheduler_->counters();
  metrics_->preemptions.Increment(static_cast<double>(counters.preemptions - told_.preemptions));
  metrics_->replacements.Increment(static_cast<double>(counters.replacements - told_.replacements));
  metrics_->cached_tokens.Increment(
      static_cast<double>(counters.cached_tokens - told_.cached_tokens));
  told_ = counters;
  const bool idle = scheduler_->waiting().empty() && scheduler_->running().empty();
  if (now - told_all_ >= kInterval || (idle && !told_idle_)) TellAll(now);
}

void LoopMetrics::TellAll(absl::Time now) {
  told_all_ = now;
  told_idle_ = scheduler_->waiting().empty() && scheduler_->running().empty();
  for (const auto& request : scheduler_->running()) CountGenerated(request.get(), *metrics_);
  policy_->Report();
  if (metrics_->adapters_at_work.wanted()) TellAdaptersAtWork(now);
}

void LoopMetrics::TellAdaptersAtWork(absl::Time now) const {
  metrics_->adapters_at_work.Set({.most = max_running_,
                                  .running = AdaptersOf(scheduler_->running()),
                                  .waiting = AdaptersOf(scheduler_->waiting()),
                                  .at = now});
}

}  // namespace lamella
