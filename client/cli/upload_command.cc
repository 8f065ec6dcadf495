// lamella adapters upload: a PEFT folder becomes a version, with a progress bar.
#include <unistd.h>

#include <iostream>
#include <memory>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/admin_output.h"
#include "client/cli/commands.h"
#include "client/cli/progress_bar.h"

namespace lamella::cli {
namespace {

using client::UploadOptions;

struct Arguments {
  UploadOptions upload;
  std::vector<std::string> labels;
};

ProgressStyle StyleOf(const CommonOptions& common) {
  if (common.json()) return ProgressStyle::kNone;
  return isatty(STDERR_FILENO) != 0 ? ProgressStyle::kBar : ProgressStyle::kLines;
}

void PrintResult(const client::UploadResult& result) {
  const client::Version& version = result.version;
  const char* what = result.validate_only ? "valid" : result.created ? "created" : "already there";
  absl::PrintF("%s: %s\nrank %d, %d modules, %s; checked in %.0f ms, made durable in %.0f ms\n",
               what, version.name, version.max_rank, version.modules,
               FormatBytes(static_cast<double>(version.weights_bytes)),
               absl::ToDoubleMilliseconds(result.hash_time),
               absl::ToDoubleMilliseconds(result.sync_time));
}

int RunUpload(client::AdminClient* admin, const CommonOptions& common,
              const UploadOptions& options) {
  ProgressBar bar(StyleOf(common), &std::cerr, absl::Now());
  const auto result = admin->Upload(options, [&](const client::UploadProgress& progress) {
    bar.Update(progress.validating ? "validating" : "uploading", progress.bytes,
               progress.total_bytes, absl::Now());
  });
  bar.Close();
  if (!result.ok()) return Fail(result.status());
  if (common.json()) {
    absl::PrintF("%s\n", ToJson(*result).dump());
  } else {
    PrintResult(*result);
  }
  return kOk;
}

}  // namespace

void AddUpload(CLI::App* adapters, const Registry& registry) {
  auto arguments = std::make_shared<Arguments>();
  UploadOptions& u = arguments->upload;
  CLI::App* app = adapters->add_subcommand("upload", "Upload a PEFT folder as a version");
  app->add_option("dir", u.dir, "Folder with adapter_config.json and adapter_model.safetensors")
      ->required();
  app->add_option("--id", u.adapter, "The adapter that the version is of")->required();
  app->add_option("--alias", u.alias, "Point this alias, such as live, to it at the same time");
  app->add_option("--label", arguments->labels, "KEY=VALUE; may be given several times")
      ->allow_extra_args(false);
  app->add_option("--sha256", u.weights_sha256, "Refuse another weights file than this one");
  app->add_option("--base-fingerprint", u.base_fingerprint,
                  "The base that it was made for; without it the one that is served");
  app->add_flag("--allow-other-base", u.allow_other_base,
                "Take it if it was made for another base and its shapes fit");
  app->add_flag("--validate-only", u.validate_only, "Check everything and keep nothing");
  app->callback([registry, arguments] {
    for (const std::string& label : arguments->labels) {
      const size_t equals = label.find('=');
      if (equals == std::string::npos || equals == 0) {
        throw CLI::ValidationError("--label", "must be KEY=VALUE, got " + label);
      }
      arguments->upload.labels[label.substr(0, equals)] = label.substr(equals + 1);
    }
    ChooseAdmin(registry, [registry, arguments](client::AdminClient* admin) {
      return RunUpload(admin, *registry.common, arguments->upload);
    });
  });
}

}  // namespace lamella::cli
