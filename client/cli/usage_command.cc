// lamella usage: what a tenant used, has and may have.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands.h"
#include "client/cli/progress_bar.h"
#include "nlohmann/json.hpp"

namespace lamella::cli {
namespace {

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string Count(int64_t value) { return absl::StrCat(value); }
std::string Bytes(int64_t value) { return FormatBytes(static_cast<double>(value)); }

// A line "name  what there is  of its limit".
template <typename Format>
void PrintLimited(const char* name, int64_t value, int64_t limit, Format format) {
  absl::PrintF("%-24s %14s%s\n", name, format(value),
               limit == 0 ? "" : absl::StrCat(" of ", format(limit)));
}

void PrintText(const client::TenantUsage& usage) {
  absl::PrintF("tenant %s, weight %g\n\nsince %s\n", usage.tenant, usage.weight,
               Rfc3339(usage.started));
  const std::pair<const char*, int64_t> counters[] = {{"requests", usage.requests},
                                                      {"refused", usage.rejected},
                                                      {"prompt tokens", usage.prompt_tokens},
                                                      {"of these cached", usage.cached_tokens},
                                                      {"generated tokens", usage.generated_tokens},
                                                      {"adapter loads", usage.adapter_loads}};
  for (const auto& [name, value] : counters) absl::PrintF("%-24s %14d\n", name, value);
  absl::PrintF("\nnow\n");
  PrintLimited("requests in flight", usage.in_flight, usage.max_in_flight, Count);
  PrintLimited("queued prompt tokens", usage.queued_tokens, usage.max_queued_tokens, Count);
  PrintLimited("adapters in memory", usage.resident_bytes, usage.resident_ceiling_bytes, Bytes);
  PrintLimited("in the store", usage.stored_bytes, usage.max_stored_bytes, Bytes);
  PrintLimited("versions", usage.stored_versions, usage.max_stored_versions, Count);
  PrintLimited("uploaded today", usage.uploaded_today_bytes, usage.upload_bytes_per_day, Bytes);
  if (usage.tokens_per_minute > 0) {
    absl::PrintF("%-24s %14d\n", "tokens per minute", usage.tokens_per_minute);
  }
}

nlohmann::json ToJson(const client::TenantUsage& u) {
  return {{"tenant", u.tenant},
          {"started", Rfc3339(u.started)},
          {"read", Rfc3339(u.read)},
          {"counters",
           {{"requests", u.requests},
            {"rejected", u.rejected},
            {"prompt_tokens", u.prompt_tokens},
            {"cached_tokens", u.cached_tokens},
            {"generated_tokens", u.generated_tokens},
            {"adapter_loads", u.adapter_loads}}},
          {"holdings",
           {{"in_flight", u.in_flight},
            {"queued", u.queued},
            {"queued_tokens", u.queued_tokens},
            {"resident_bytes", u.resident_bytes},
            {"stored_bytes", u.stored_bytes},
            {"stored_versions", u.stored_versions},
            {"adapters", u.adapters},
            {"uploaded_today_bytes", u.uploaded_today_bytes}}},
          {"quotas",
           {{"weight", u.weight},
            {"max_in_flight", u.max_in_flight},
            {"max_queued_tokens", u.max_queued_tokens},
            {"tokens_per_minute", u.tokens_per_minute},
            {"resident_floor_bytes", u.resident_floor_bytes},
            {"resident_ceiling_bytes", u.resident_ceiling_bytes},
            {"stored_bytes", u.max_stored_bytes},
            {"stored_versions", u.max_stored_versions},
            {"upload_bytes_per_day", u.upload_bytes_per_day}}}};
}

}  // namespace

void AddUsage(const Registry& registry) {
  CLI::App* app = registry.app->add_subcommand(
      "usage", "Show what you used, have and may have; --tenant names another's, for operators");
  app->callback([registry] {
    ChooseAdmin(registry, [registry](client::AdminClient* admin) {
      const auto usage = admin->GetTenantUsage();
      if (!usage.ok()) return Fail(usage.status());
      if (registry.common->json()) {
        absl::PrintF("%s\n", ToJson(*usage).dump());
      } else {
        PrintText(*usage);
      }
      return static_cast<int>(kOk);
    });
  });
}

}  // namespace lamella::cli
