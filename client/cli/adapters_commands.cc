// lamella adapters ...: what a tenant has, and changes to it.
#include <iostream>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "client/cli/admin_output.h"
#include "client/cli/commands.h"

namespace lamella::cli {
namespace {

using client::AdminClient;

struct Arguments {
  std::string adapter;
  std::string version;
  std::string alias;
  std::vector<std::string> targets;
  std::string etag;
  std::string resume_token;
  std::string dir;
  std::string reason;
  bool force = false;
  bool misfits = false;
};

using Run = std::function<int(AdminClient*, const CommonOptions&, const Arguments&)>;

int PrintOne(const CommonOptions& common, const absl::StatusOr<client::Version>& version) {
  if (!version.ok()) return Fail(version.status());
  PrintVersions(common, {*version});
  return kOk;
}

int PrintOne(const CommonOptions& common, const absl::StatusOr<client::Adapter>& adapter) {
  if (!adapter.ok()) return Fail(adapter.status());
  PrintAdapters(common, {*adapter});
  return kOk;
}

int List(AdminClient* admin, const CommonOptions& common, const Arguments& arguments) {
  if (arguments.misfits) {
    const auto versions = admin->ListMisfits();
    if (!versions.ok()) return Fail(versions.status());
    PrintVersions(common, *versions);
    return kOk;
  }
  const auto adapters = admin->ListAdapters();
  if (!adapters.ok()) return Fail(adapters.status());
  PrintAdapters(common, *adapters);
  return kOk;
}

int Versions(AdminClient* admin, const CommonOptions& common, const Arguments& arguments) {
  const auto versions = admin->ListVersions(arguments.adapter);
  if (!versions.ok()) return Fail(versions.status());
  PrintVersions(common, *versions);
  return kOk;
}

// "VERSION" or "VERSION=WEIGHT"
absl::StatusOr<client::AliasTarget> ReadTarget(AdminClient* admin, const std::string& adapter,
                                               const std::string& text) {
  const size_t equals = text.find('=');
  client::AliasTarget target;
  if (equals != std::string::npos && !absl::SimpleAtoi(text.substr(equals + 1), &target.weight)) {
    return absl::InvalidArgumentError("a target must be VERSION or VERSION=WEIGHT, got " + text);
  }
  auto version = FindVersion(admin, adapter, text.substr(0, equals));
  if (!version.ok()) return version.status();
  target.version = *std::move(version);
  return target;
}

int SetAlias(AdminClient* admin, const CommonOptions& common, const Arguments& arguments) {
  client::Alias alias{.alias = arguments.alias, .targets = {}};
  for (const std::string& text : arguments.targets) {
    auto target = ReadTarget(admin, arguments.adapter, text);
    if (!target.ok()) return Fail(target.status());
    alias.targets.push_back(*std::move(target));
  }
  return PrintOne(common, admin->SetAlias(arguments.adapter, alias, arguments.etag));
}

int DeleteAlias(AdminClient* admin, const CommonOptions& common, const Arguments& arguments) {
  return PrintOne(common, admin->DeleteAlias(arguments.adapter, arguments.alias, arguments.etag));
}

int Delete(AdminClient* admin, const CommonOptions&, const Arguments& arguments) {
  absl::Status status;
  if (arguments.version.empty()) {
    status = admin->DeleteAdapter(arguments.adapter, arguments.etag, arguments.force);
  } else {
    const auto version = FindVersion(admin, arguments.adapter, arguments.version);
    status = version.status();
    if (version.ok()) {
      status = admin->DeleteVersion(arguments.adapter, *version, arguments.etag, arguments.force);
    }
  }
  return status.ok() ? kOk : Fail(status);
}

// The adapter, or one of its versions.
int Get(AdminClient* admin, const CommonOptions& common, const Arguments& arguments) {
  if (arguments.version.empty()) return PrintOne(common, admin->GetAdapter(arguments.adapter));
  const auto version = FindVersion(admin, arguments.adapter, arguments.version);
  if (!version.ok()) return Fail(version.status());
  return PrintOne(common, admin->GetVersion(arguments.adapter, *version));
}

// The version that was named, else the live one.
absl::StatusOr<std::string> NamedVersion(AdminClient* admin, const Arguments& arguments) {
  return FindVersion(admin, arguments.adapter,
                     arguments.version.empty() ? "live" : arguments.version);
}

// A method of the client that takes an adapter and a version.
template <auto kMethod>
int OnVersion(AdminClient* admin, const CommonOptions& common, const Arguments& arguments) {
  const auto version = NamedVersion(admin, arguments);
  if (!version.ok()) return Fail(version.status());
  return PrintOne(common, (admin->*kMethod)(arguments.adapter, *version));
}

int Quarantine(AdminClient* admin, const CommonOptions& common, const Arguments& arguments) {
  const auto version = NamedVersion(admin, arguments);
  if (!version.ok()) return Fail(version.status());
  return PrintOne(common, admin->Quarantine(arguments.adapter, *version, arguments.reason));
}

int Download(AdminClient* admin, const CommonOptions& common, const Arguments& arguments) {
  const auto version = FindVersion(admin, arguments.adapter, arguments.version);
  if (!version.ok()) return Fail(version.status());
  return PrintOne(common, admin->Download(arguments.adapter, *version, arguments.dir));
}

void PrintEvent(const CommonOptions& common, const client::WatchEvent& event) {
  if (common.json()) {
    absl::PrintF("%s\n", ToJson(event).dump());
  } else if (event.version != nullptr) {
    absl::PrintF("%-12s %s %s %s\n", event.type, event.name, event.version->state,
                 event.version->residency);
  } else {
    absl::PrintF("%-12s %s\n", event.type, event.name);
  }
  std::fflush(stdout);
}

int Watch(AdminClient* admin, const CommonOptions& common, const Arguments& arguments) {
  const absl::Status status =
      admin->Watch(arguments.resume_token, [&](const client::WatchEvent& event) {
        PrintEvent(common, event);
        return true;
      });
  return status.ok() ? kOk : Fail(status);
}

// Adds one sub-command; the options are the caller's to add.
CLI::App* Add(CLI::App* adapters, const Registry& registry,
              const std::shared_ptr<Arguments>& arguments, const char* name, const char* help,
              Run run) {
  CLI::App* app = adapters->add_subcommand(name, help);
  app->callback([registry, arguments, run = std::move(run)] {
    ChooseAdmin(registry, [registry, arguments, run](AdminClient* admin) {
      return run(admin, *registry.common, *arguments);
    });
  });
  return app;
}

void AddQuestions(CLI::App* adapters, const Registry& registry,
                  const std::shared_ptr<Arguments>& arguments) {
  Arguments& a = *arguments;
  CLI::App* list = Add(adapters, registry, arguments, "list", "List adapters and aliases", List);
  list->add_flag("--misfits", a.misfits, "List versions that do not fit the base instead");
  CLI::App* get = Add(adapters, registry, arguments, "get", "Show an adapter or a version", Get);
  get->add_option("adapter", a.adapter)->required();
  get->add_option("version", a.version, "An alias, a digest or its first digits");
  Add(adapters, registry, arguments, "versions", "List the versions of an adapter", Versions)
      ->add_option("adapter", a.adapter)
      ->required();
  Add(adapters, registry, arguments, "watch", "Show what there is, then every change", Watch)
      ->add_option("--resume-token", a.resume_token, "Go on after this event");
  CLI::App* download =
      Add(adapters, registry, arguments, "download", "Write a version's files", Download);
  download->add_option("adapter", a.adapter)->required();
  download->add_option("version", a.version, "An alias, a digest or its first digits")->required();
  download->add_option("dir", a.dir, "The folder to write to")->required();
}

void AddChanges(CLI::App* adapters, const Registry& registry,
                const std::shared_ptr<Arguments>& arguments) {
  Arguments& a = *arguments;
  CLI::App* set = Add(adapters, registry, arguments, "set-alias",
                      "Point an alias to a version, or split it over several", SetAlias);
  set->add_option("adapter", a.adapter)->required();
  set->add_option("alias", a.alias)->required();
  set->add_option("targets", a.targets, "VERSION, or VERSION=WEIGHT several times")->required();
  set->add_option("--etag", a.etag, "Only if the adapter has not changed since");
  CLI::App* unset =
      Add(adapters, registry, arguments, "delete-alias", "Delete an alias", DeleteAlias);
  unset->add_option("adapter", a.adapter)->required();
  unset->add_option("alias", a.alias)->required();
  unset->add_option("--etag", a.etag, "Only if the adapter has not changed since");
  CLI::App* remove =
      Add(adapters, registry, arguments, "delete", "Delete an adapter or a version", Delete);
  remove->add_option("adapter", a.adapter)->required();
  remove->add_option("version", a.version, "An alias, a digest or its first digits");
  remove->add_option("--etag", a.etag, "Only if the adapter has not changed since");
  remove->add_flag("--force", a.force, "Also what an alias points to");
}

void AddVersionChanges(CLI::App* adapters, const Registry& registry,
                       const std::shared_ptr<Arguments>& arguments) {
  Arguments& a = *arguments;
  const auto on_version = [&](const char* name, const char* help, Run run) {
    CLI::App* app = Add(adapters, registry, arguments, name, help, std::move(run));
    app->add_option("adapter", a.adapter)->required();
    app->add_option("version", a.version,
                    "An alias, a digest or its first digits; without it the alias live");
    return app;
  };
  on_version("warm", "Load a version into memory", OnVersion<&AdminClient::Warm>);
  on_version("pin", "Keep a version in memory", OnVersion<&AdminClient::Pin>);
  on_version("unpin", "Keep it no longer", OnVersion<&AdminClient::Unpin>);
  on_version("quarantine", "Take a version out of service", Quarantine)
      ->add_option("--reason", a.reason, "For its owner to read");
  on_version("release", "Put a version into service again", OnVersion<&AdminClient::Release>);
}

}  // namespace

void AddAdapters(const Registry& registry) {
  CLI::App* app = registry.app->add_subcommand("adapters", "Adapters: upload, versions, aliases");
  app->require_subcommand(1);
  app->fallthrough();
  auto arguments = std::make_shared<Arguments>();
  AddUpload(app, registry);
  AddQuestions(app, registry, arguments);
  AddChanges(app, registry, arguments);
  AddVersionChanges(app, registry, arguments);
  AddUsable(app, registry);
}

}  // namespace lamella::cli
