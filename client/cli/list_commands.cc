// lamella models | adapters usable | tokenize: what the server has, and how it reads text.
#include <memory>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "nlohmann/json.hpp"

namespace lamella::cli {
namespace {

constexpr size_t kShownDigits = 12;

nlohmann::json ToJson(const client::RequestLimits& limits) {
  return {{"max_prompt_bytes", limits.max_prompt_bytes},
          {"max_stop_strings", limits.max_stop_strings},
          {"max_stop_string_bytes", limits.max_stop_string_bytes},
          {"max_stop_token_ids", limits.max_stop_token_ids},
          {"max_texts", limits.max_texts},
          {"max_n", limits.max_n},
          {"max_logit_bias", limits.max_logit_bias},
          {"max_logprobs", limits.max_logprobs},
          {"max_prompt_logprobs", limits.max_prompt_logprobs},
          {"max_cache_salt_bytes", limits.max_cache_salt_bytes}};
}

nlohmann::json ToJson(const client::CallerLimits& limits) {
  return {{"weight", limits.weight},
          {"max_in_flight", limits.max_in_flight},
          {"max_queued_tokens", limits.max_queued_tokens},
          {"tokens_per_minute", limits.tokens_per_minute},
          {"in_flight", limits.in_flight},
          {"queued_tokens", limits.queued_tokens}};
}

int Models(client::Client* client, const CommonOptions& common) {
  auto info = client->GetModelInfo();
  if (!info.ok()) return Fail(info.status());
  if (common.json()) {
    const nlohmann::json line = {{"model", info->model},
                                 {"fingerprint", info->fingerprint},
                                 {"architecture", info->architecture},
                                 {"context_tokens", info->context_tokens},
                                 {"vocab_size", info->vocab_size},
                                 {"eos_token_ids", info->eos_token_ids},
                                 {"dtype", info->dtype},
                                 {"isa", info->isa},
                                 {"server_version", info->server_version},
                                 {"features", info->features},
                                 {"limits", ToJson(info->limits)},
                                 {"caller_limits", ToJson(info->caller_limits)}};
    absl::PrintF("%s\n", line.dump());
    return kOk;
  }
  absl::PrintF(
      "%-14s %s\n%-14s %s\n%-14s %d tokens\n%-14s %d\n%-14s %s on %s\n%-14s %s\n%-14s %s\n",
      "model", info->model, "architecture", info->architecture, "context", info->context_tokens,
      "vocabulary", info->vocab_size, "computes in", info->dtype, info->isa, "fingerprint",
      info->fingerprint.substr(0, kShownDigits), "server", info->server_version);
  return kOk;
}

int ListUsable(client::Client* client, const CommonOptions& common) {
  auto adapters = client->ListAdapters();
  if (!adapters.ok()) return Fail(adapters.status());
  if (!common.json())
    absl::PrintF("%-32s %-8s %-14s %-10s %s\n", "ADAPTER", "ALIAS", "VERSION", "RESIDENCY", "RANK");
  for (const client::AdapterInfo& a : *adapters) {
    if (common.json()) {
      const nlohmann::json line = {{"adapter_id", a.adapter_id},
                                   {"alias", a.alias},
                                   {"version", a.version},
                                   {"residency", a.residency},
                                   {"max_rank", a.max_rank}};
      absl::PrintF("%s\n", line.dump());
    } else {
      absl::PrintF("%-32s %-8s %-14s %-10s %d\n", a.adapter_id, a.alias,
                   a.version.substr(0, kShownDigits), a.residency, a.max_rank);
    }
  }
  return kOk;
}

int Tokenize(client::Client* client, const CommonOptions& common, const std::string& text,
             bool special) {
  auto ids = client->Tokenize(text, special);
  if (!ids.ok()) return Fail(ids.status());
  absl::PrintF("%s\n", common.json() ? nlohmann::json{{"token_ids", *ids}}.dump()
                                     : absl::StrJoin(*ids, " "));
  return kOk;
}

}  // namespace

void AddModels(const Registry& registry) {
  CLI::App* app = registry.app->add_subcommand("models", "Show the base model that is served");
  app->callback([registry] {
    *registry.chosen = [registry](client::Client* client) {
      return Models(client, *registry.common);
    };
  });
}

void AddUsable(CLI::App* adapters, const Registry& registry) {
  CLI::App* usable = adapters->add_subcommand(
      "usable", "List the adapters that you may use, as the data listener says");
  usable->callback([registry] {
    *registry.chosen = [registry](client::Client* client) {
      return ListUsable(client, *registry.common);
    };
  });
}

void AddTokenize(const Registry& registry) {
  struct Arguments {
    std::string text;
    bool special = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* app = registry.app->add_subcommand("tokenize", "Show the token ids of a text");
  app->add_option("text", arguments->text)->required();
  app->add_flag("--special", arguments->special,
                "Read spellings such as <|im_end|> as those tokens");
  app->callback([registry, arguments] {
    *registry.chosen = [registry, arguments](client::Client* client) {
      return Tokenize(client, *registry.common, arguments->text, arguments->special);
    };
  });
}

}  // namespace lamella::cli
