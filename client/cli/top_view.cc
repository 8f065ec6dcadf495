#include "client/cli/top_view.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/progress_bar.h"

namespace lamella::cli {
namespace {

using nlohmann::json;

class Rates {
 public:
  Rates(const Scrape& before, const Scrape& now)
      : before_(before),
        now_(now),
        seconds_(std::max(1e-9, absl::ToDoubleSeconds(now.at() - before.at()))) {}

  double Of(const std::string& name) const { return Per(now_.Sum(name) - before_.Sum(name)); }
  // A server that was started anew in between has counted from 0.
  double Per(double grown) const { return std::max(0.0, grown) / seconds_; }

 private:
  const Scrape& before_;
  const Scrape& now_;
  const double seconds_;
};

using Who = std::pair<std::string, std::string>;

std::map<Who, double> ByName(const Scrape& scrape, const std::string& name) {
  std::map<Who, double> values;
  for (const Series& series : scrape.Of(name)) {
    const auto label = [&](const char* key) {
      const auto found = series.labels.find(key);
      return found == series.labels.end() ? std::string() : found->second;
    };
    values[{label("tenant"), label("adapter")}] += series.value;
  }
  return values;
}

std::vector<TopRow> Rows(const Scrape& before, const Scrape& now, const std::string& prefix) {
  const Rates rates(before, now);
  auto requests_before = ByName(before, prefix + "requests_total");
  auto tokens_before = ByName(before, prefix + "generated_tokens_total");
  auto tokens_now = ByName(now, prefix + "generated_tokens_total");
  std::vector<TopRow> rows;
  for (const auto& [who, requests] : ByName(now, prefix + "requests_total")) {
    if (requests == 0) continue;
    rows.push_back({.tenant = who.first,
                    .adapter = who.second,
                    .requests = requests,
                    .requests_per_second = rates.Per(requests - requests_before[who]),
                    .tokens_per_second = rates.Per(tokens_now[who] - tokens_before[who])});
  }
  std::stable_sort(rows.begin(), rows.end(), [](const TopRow& a, const TopRow& b) {
    return std::pair(a.tokens_per_second, a.requests) > std::pair(b.tokens_per_second, b.requests);
  });
  return rows;
}

std::string Seconds(double seconds) {
  return std::isnan(seconds) ? "-" : absl::StrFormat("%.3f s", seconds);
}

std::string Share(double share) {
  return std::isnan(share) ? "-" : absl::StrFormat("%.0f %%", 100 * share);
}

void AppendRows(const char* title, const std::vector<TopRow>& rows, size_t most, std::string* out) {
  if (rows.empty()) return;
  absl::StrAppendFormat(out, "\n%-40s %12s %10s %10s\n", title, "REQUESTS", "REQ/S", "TOK/S");
  for (size_t i = 0; i < std::min(rows.size(), most); ++i) {
    const TopRow& row = rows[i];
    const std::string name =
        row.adapter.empty() ? row.tenant : absl::StrCat(row.tenant, "/", row.adapter);
    absl::StrAppendFormat(out, "%-40s %12.0f %10.1f %10.1f\n", name, row.requests,
                          row.requests_per_second, row.tokens_per_second);
  }
  if (rows.size() > most) absl::StrAppendFormat(out, "... and %d more\n", rows.size() - most);
}

json ToJson(const std::vector<TopRow>& rows) {
  json list = json::array();
  for (const TopRow& row : rows) {
    json one = {{"tenant", row.tenant},
                {"requests", row.requests},
                {"requests_per_second", row.requests_per_second},
                {"tokens_per_second", row.tokens_per_second}};
    if (!row.adapter.empty()) one["adapter"] = row.adapter;
    list.push_back(std::move(one));
  }
  return list;
}

json NumberOrNull(double value) { return std::isnan(value) ? json() : json(value); }

}  // namespace

TopView MakeTopView(const Scrape& before, const Scrape& now) {
  const Rates rates(before, now);
  TopView view;
  view.model = now.Label("vllm:num_requests_running", "model_name");
  view.version = now.Label("lamella_build_info", "version");
  view.isa = now.Label("lamella_build_info", "isa");
  view.draining = now.Sum("lamella_draining") > 0;
  view.up = now.at() - (absl::UnixEpoch() + absl::Seconds(now.Sum("process_start_time_seconds")));
  view.running = now.Sum("lamella_running_sequences");
  view.waiting = now.Sum("lamella_waiting_sequences");
  view.accepted_per_second = rates.Of("lamella_requests_accepted_total");
  view.finished_per_second = rates.Of("lamella_requests_finished_total");
  view.rejected_per_second = rates.Of("lamella_requests_rejected_total");
  view.prompt_per_second = rates.Of("lamella_prompt_tokens_total");
  view.cached_per_second = rates.Of("lamella_cached_prompt_tokens_total");
  view.generated_per_second = rates.Of("lamella_generated_tokens_total");
  view.first_token_p50 = QuantileBetween(before, now, "lamella_first_token_seconds", 0.5);
  view.first_token_p99 = QuantileBetween(before, now, "lamella_first_token_seconds", 0.99);
  view.inter_token_p50 = QuantileBetween(before, now, "lamella_inter_token_seconds", 0.5);
  view.inter_token_p99 = QuantileBetween(before, now, "lamella_inter_token_seconds", 0.99);
  const double blocks = now.Sum("lamella_kv_blocks");
  view.kv_share = blocks == 0 ? 0 : now.Sum("lamella_kv_blocks_used") / blocks;
  view.adapter_bytes = now.Sum("lamella_adapter_cache_bytes");
  view.adapter_limit_bytes = now.Sum("lamella_adapter_cache_limit_bytes");
  const double hits = rates.Of("lamella_adapter_cache_hits_total");
  const double asked = hits + rates.Of("lamella_adapter_cache_misses_total");
  view.hit_rate = asked == 0 ? std::numeric_limits<double>::quiet_NaN() : hits / asked;
  view.loads_per_second = rates.Of("lamella_adapter_loads_total");
  view.evictions_per_second = rates.Of("lamella_adapter_evictions_total");
  view.tenants = Rows(before, now, "lamella_tenant_");
  view.adapters = Rows(before, now, "lamella_tenant_adapter_");
  return view;
}

std::string Describe(const TopView& view, size_t rows) {
  std::string out =
      absl::StrFormat("lamella %s on %s  %s  up %s  %s\n", view.version, view.isa, view.model,
                      absl::FormatDuration(absl::Trunc(view.up, absl::Seconds(1))),
                      view.draining ? "DRAINING" : "serving");
  absl::StrAppendFormat(&out,
                        "requests   running %.0f  waiting %.0f  accepted %.1f/s  ended %.1f/s  "
                        "refused %.1f/s\n",
                        view.running, view.waiting, view.accepted_per_second,
                        view.finished_per_second, view.rejected_per_second);
  absl::StrAppendFormat(&out, "tokens/s   prompt %.1f (cached %.1f)  generated %.1f\n",
                        view.prompt_per_second, view.cached_per_second, view.generated_per_second);
  absl::StrAppendFormat(&out,
                        "latency    first token p50 %s p99 %s  between tokens p50 %s p99 %s\n",
                        Seconds(view.first_token_p50), Seconds(view.first_token_p99),
                        Seconds(view.inter_token_p50), Seconds(view.inter_token_p99));
  absl::StrAppendFormat(&out,
                        "memory     KV blocks %s  adapters %s of %s  hits %s  loads %.1f/s  "
                        "evictions %.1f/s\n",
                        Share(view.kv_share), FormatBytes(view.adapter_bytes),
                        FormatBytes(view.adapter_limit_bytes), Share(view.hit_rate),
                        view.loads_per_second, view.evictions_per_second);
  AppendRows("TENANT", view.tenants, rows, &out);
  AppendRows("ADAPTER", view.adapters, rows, &out);
  return out;
}

json ToJson(const TopView& view) {
  return {{"model", view.model},
          {"version", view.version},
          {"isa", view.isa},
          {"draining", view.draining},
          {"up_seconds", absl::ToDoubleSeconds(view.up)},
          {"running", view.running},
          {"waiting", view.waiting},
          {"accepted_per_second", view.accepted_per_second},
          {"finished_per_second", view.finished_per_second},
          {"rejected_per_second", view.rejected_per_second},
          {"prompt_tokens_per_second", view.prompt_per_second},
          {"cached_tokens_per_second", view.cached_per_second},
          {"generated_tokens_per_second", view.generated_per_second},
          {"first_token_p50_seconds", NumberOrNull(view.first_token_p50)},
          {"first_token_p99_seconds", NumberOrNull(view.first_token_p99)},
          {"inter_token_p50_seconds", NumberOrNull(view.inter_token_p50)},
          {"inter_token_p99_seconds", NumberOrNull(view.inter_token_p99)},
          {"kv_share", view.kv_share},
          {"adapter_bytes", view.adapter_bytes},
          {"adapter_limit_bytes", view.adapter_limit_bytes},
          {"adapter_hit_rate", NumberOrNull(view.hit_rate)},
          {"tenants", ToJson(view.tenants)},
          {"adapters", ToJson(view.adapters)}};
}

}  // namespace lamella::cli
