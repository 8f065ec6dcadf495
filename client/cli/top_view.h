// What `lamella top` shows: a server's load, from two scrapes of its metrics. Pure.
#pragma once

#include <string>
#include <vector>

#include "client/cli/scrape.h"
#include "nlohmann/json.hpp"

namespace lamella::cli {

// One line of a table: a tenant, or an adapter of a tenant.
struct TopRow {
  std::string tenant;
  std::string adapter;
  double requests = 0;             // since the server's start
  double requests_per_second = 0;  // between the scrapes
  double tokens_per_second = 0;    // generated
};

struct TopView {
  std::string model, version, isa;
  bool draining = false;
  absl::Duration up;
  double running = 0, waiting = 0;
  double accepted_per_second = 0, finished_per_second = 0, rejected_per_second = 0;
  double prompt_per_second = 0, cached_per_second = 0, generated_per_second = 0;
  // Not a number where nothing was observed between the scrapes.
  double first_token_p50 = 0, first_token_p99 = 0, inter_token_p50 = 0, inter_token_p99 = 0;
  double kv_share = 0;  // of KV blocks, in use
  double adapter_bytes = 0, adapter_limit_bytes = 0;
  double hit_rate = 0;  // of the adapter cache, between the scrapes; not a number if unused
  double loads_per_second = 0, evictions_per_second = 0;
  std::vector<TopRow> tenants;  // the most tokens first, then requests
  std::vector<TopRow> adapters;
};

// Rates are over the time between the scrapes, `now` the later.
TopView MakeTopView(const Scrape& before, const Scrape& now);

// As text, at most `rows` tenants and adapters.
std::string Describe(const TopView& view, size_t rows);

nlohmann::json ToJson(const TopView& view);

}  // namespace lamella::cli
