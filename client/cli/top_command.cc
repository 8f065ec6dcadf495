// lamella top: a live view of a server's load, from its metrics.
#include <cstdio>
#include <memory>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/operator_commands.h"
#include "client/cli/top_view.h"
#include "common/base/status_macros.h"

namespace lamella::cli {
namespace {

constexpr absl::Duration kScrapeTimeout = absl::Seconds(5);

struct Arguments {
  std::string metrics = "127.0.0.1:9464";
  double interval_seconds = 2;
  size_t rows = 10;
  bool once = false;
};

absl::StatusOr<Scrape> Take(const std::string& address) {
  const absl::Time at = absl::Now();
  ASSIGN_OR_RETURN(const std::string text, HttpGet(address, "/metrics", kScrapeTimeout));
  return Scrape::Parse(text, at);
}

int Top(const CommonOptions& common, const Arguments& arguments) {
  auto before = Take(arguments.metrics);
  if (!before.ok()) return Fail(before.status());
  for (;;) {
    absl::SleepFor(absl::Seconds(arguments.interval_seconds));
    auto now = Take(arguments.metrics);
    if (!now.ok()) return Fail(now.status());
    const TopView view = MakeTopView(*before, *now);
    if (!arguments.once && !common.json()) absl::PrintF("\033[H\033[2J");  // home, erase
    absl::PrintF("%s", common.json() ? ToJson(view).dump() + "\n" : Describe(view, arguments.rows));
    std::fflush(stdout);
    if (arguments.once) return kOk;
    before = std::move(now);
  }
}

}  // namespace

void AddTop(const Registry& registry) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* app = registry.app->add_subcommand(
      "top", "Watch a server's load: requests, tokens, tenants, adapters");
  app->add_option("--metrics", arguments->metrics, "HOST:PORT of the metrics listener")
      ->capture_default_str();
  app->add_option("--interval", arguments->interval_seconds, "Seconds between two looks")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app->add_option("--rows", arguments->rows, "Tenants and adapters to show")->capture_default_str();
  app->add_flag("--once", arguments->once, "Show it once, after one interval, and end");
  app->callback([registry, arguments] {
    *registry.chosen = [registry, arguments](client::Client*) {
      return Top(*registry.common, *arguments);
    };
  });
}

}  // namespace lamella::cli
