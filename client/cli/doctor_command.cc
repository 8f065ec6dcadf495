// lamella doctor: looks at a server from outside, and at the files it would be started with, and says
// what is wrong.
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/model_shape.h"
#include "client/cli/operator_commands.h"
#include "client/cli/progress_bar.h"
#include "client/cli/scrape.h"
#include "client/health.h"
#include "common/base/error.h"
#include "nlohmann/json.hpp"

namespace lamella::cli {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr double kLittleSpace = 1 << 30;  // bytes

struct Arguments {
  std::string metrics = "127.0.0.1:9464";
  std::string model;
  std::string adapters_dir;
  std::string store;
};

enum class Verdict { kOk, kWarning, kFailed };

// One thing that was looked at.
struct Finding {
  std::string check;
  Verdict verdict = Verdict::kOk;
  std::string text;
};

const char* WordOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kFailed:
      return "FAILED";
  }
  return "";
}

std::string Why(const absl::Status& status) {
  const std::string reason = ErrorReason(status);
  return absl::StrCat(status.message(), reason.empty() ? "" : " (", reason,
                      reason.empty() ? "" : ")");
}

Finding CheckListener(const std::string& check, const std::string& address,
                      const client::TlsOptions& tls) {
  const auto health = client::CheckHealth(address, "", tls, kPatience);
  if (!health.ok()) {
    return {check, Verdict::kFailed, absl::StrCat(address, ": ", Why(health.status()))};
  }
  if (*health == "SERVING") return {check, Verdict::kOk, absl::StrCat(address, " is serving")};
  const auto live = client::CheckHealth(address, client::kLivenessName, tls, kPatience);
  const bool draining = live.ok() && *live == "SERVING";
  return {check, Verdict::kWarning,
          absl::StrCat(address, draining ? " is draining" : " is not serving")};
}

Finding CheckModel(client::Client* client) {
  const auto info = client->GetModelInfo();
  if (!info.ok()) {
    // Who may only bring adapters has no use for the model.
    const bool known = info.status().code() == absl::StatusCode::kPermissionDenied;
    return {"model", known ? Verdict::kOk : Verdict::kFailed, Why(info.status())};
  }
  const std::string text = absl::StrCat(info->model, " in ", info->dtype, " on ", info->isa,
                                        ", server ", info->server_version);
  // Within a minor release everything works with everything.
  const std::string own = LAMELLA_VERSION;
  const auto minor = [](const std::string& version) {
    return version.substr(0, version.find('.', version.find('.') + 1));
  };
  if (minor(own) == minor(info->server_version)) return {"model", Verdict::kOk, text};
  return {"model", Verdict::kWarning, absl::StrCat(text, "; this command is ", own)};
}

Finding CheckCredentials(const CommonOptions& common) {
  auto admin = client::AdminClient::Connect({.admin = common.admin,
                                             .timeout = std::min(common.timeout(), kPatience),
                                             .key = common.key,
                                             .tenant = common.tenant,
                                             .tls = common.tls});
  const auto adapters = admin.ok() ? (*admin)->ListAdapters() : admin.status();
  if (adapters.ok()) {
    return {"credentials", Verdict::kOk, absl::StrCat("you have ", adapters->size(), " adapters")};
  }
  // Who may only ask questions of the model is somebody too.
  const bool known = adapters.status().code() == absl::StatusCode::kPermissionDenied;
  return {"credentials", known ? Verdict::kOk : Verdict::kFailed, Why(adapters.status())};
}

Finding CheckMetrics(const std::string& address) {
  const auto text = HttpGet(address, "/metrics", kPatience);
  if (!text.ok()) return {"metrics", Verdict::kWarning, Why(text.status())};
  const Scrape scrape = Scrape::Parse(*text, absl::Now());
  const char* const bad[] = {"lamella_integrity_failures_total", "lamella_usage_ledger_lost_total",
                             "lamella_request_log_lost_total", "lamella_spans_lost_total"};
  for (const char* name : bad) {
    if (scrape.Sum(name) == 0) continue;
    return {"metrics", Verdict::kWarning, absl::StrCat(name, " is ", scrape.Sum(name))};
  }
  return {"metrics", Verdict::kOk, absl::StrCat(address, " answers")};
}

Finding CheckModelFile(const std::string& path) {
  const auto shape = ReadModelShape(path);
  if (!shape.ok()) return {"model file", Verdict::kFailed, Why(shape.status())};
  return {"model file", Verdict::kOk, absl::StrCat(shape->num_layers(), " layers")};
}

Finding CheckAdaptersDir(const std::string& path) {
  std::error_code error;
  int adapters = 0, pickles = 0;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    adapters += std::filesystem::exists(entry->path() / "adapter_model.safetensors") ? 1 : 0;
    pickles += std::filesystem::exists(entry->path() / "adapter_model.bin") ? 1 : 0;
  }
  if (error) return {"adapters folder", Verdict::kFailed, error.message()};
  if (pickles > 0) {
    return {"adapters folder", Verdict::kWarning,
            absl::StrCat(adapters, " adapters, and ", pickles,
                         " adapter_model.bin, which python3 -m lamella.convert converts")};
  }
  return {"adapters folder", adapters == 0 ? Verdict::kWarning : Verdict::kOk,
          absl::StrCat(adapters, " adapters")};
}

Finding CheckStore(const std::string& path) {
  struct statvfs space = {};
  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0 || statvfs(path.c_str(), &space) != 0) {
    return {"store", Verdict::kFailed, "the folder is not there or cannot be written"};
  }
  const double free = static_cast<double>(space.f_bavail) * static_cast<double>(space.f_frsize);
  return {"store", free < kLittleSpace ? Verdict::kWarning : Verdict::kOk,
          absl::StrCat(FormatBytes(free), " are free")};
}

int Report(const CommonOptions& common, const std::vector<Finding>& findings) {
  int code = kOk;
  for (const Finding& finding : findings) {
    if (finding.verdict == Verdict::kFailed) code = kFailed;
    if (common.json()) {
      absl::PrintF("%s\n", nlohmann::json{{"check", finding.check},
                                          {"verdict", WordOf(finding.verdict)},
                                          {"text", finding.text}}
                               .dump());
    } else {
      absl::PrintF("%-8s %-16s %s\n", WordOf(finding.verdict), finding.check, finding.text);
    }
  }
  return code;
}

int Doctor(client::Client* client, const CommonOptions& common, const Arguments& arguments) {
  std::vector<Finding> findings = {CheckListener("data listener", common.server, common.tls),
                                   CheckListener("admin listener", common.admin, common.tls)};
  if (findings[0].verdict != Verdict::kFailed) findings.push_back(CheckModel(client));
  // A server over --adapters-dir, or none, has no admin listener.
  if (findings[1].verdict == Verdict::kFailed && findings[0].verdict != Verdict::kFailed) {
    findings[1].verdict = Verdict::kWarning;
  } else if (findings[1].verdict != Verdict::kFailed) {
    findings.push_back(CheckCredentials(common));
  }
  findings.push_back(CheckMetrics(arguments.metrics));
  if (!arguments.model.empty()) findings.push_back(CheckModelFile(arguments.model));
  if (!arguments.adapters_dir.empty()) findings.push_back(CheckAdaptersDir(arguments.adapters_dir));
  if (!arguments.store.empty()) findings.push_back(CheckStore(arguments.store));
  return Report(common, findings);
}

}  // namespace

void AddDoctor(const Registry& registry) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* app = registry.app->add_subcommand(
      "doctor", "Look whether a server is well, and the files it would be started with");
  app->add_option("--metrics", arguments->metrics, "HOST:PORT of the metrics listener")
      ->capture_default_str();
  app->add_option("--model", arguments->model, "As the server's: read its table of tensors");
  app->add_option("--adapters-dir", arguments->adapters_dir, "As the server's: count its adapters");
  app->add_option("--adapters-store", arguments->store,
                  "As the server's: may it be written, is there space");
  app->callback([registry, arguments] {
    *registry.chosen = [registry, arguments](client::Client* client) {
      return Doctor(client, *registry.common, *arguments);
    };
  });
}

}  // namespace lamella::cli
