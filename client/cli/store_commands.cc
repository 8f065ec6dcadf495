// lamella store ...: works on a store's folder, without a server. All but `backup` and `restore`
// need the store for themselves.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>

#include "absl/strings/str_format.h"
#include "adapters_store/durable_adapter_store.h"
#include "client/cli/commands.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/mapped_file.h"
#include "nlohmann/json.hpp"

namespace lamella::cli {
namespace {

constexpr char kConfigFile[] = "/adapter_config.json";
constexpr char kWeightsFile[] = "/adapter_model.safetensors";
constexpr size_t kPage = 1000;
constexpr size_t kPieceBytes = size_t{1} << 20;

struct Arguments {
  std::string dir;     // the store's
  std::string folder;  // of an adapter or of a copy
  std::string tenant = "default";
  std::string name, version, alias;
  std::string audited = "-";  // tenant; - is all
  size_t limit = 100;
};

using Store = DurableAdapterStore;
using Work = std::function<absl::Status(Store*, const Arguments&, bool json)>;

const Actor kActor{.name = "cli", .request_id = ""};

void Print(bool json, const nlohmann::json& line, const std::string& text) {
  absl::PrintF("%s\n", json ? line.dump() : text);
}

// Calls `visit` with every version of the store until it fails.
absl::Status EachVersion(const Store& store,
                         const std::function<absl::Status(const VersionInfo&)>& visit) {
  for (const std::string& tenant : store.Tenants()) {
    std::string adapter;
    for (auto page = store.ListAdapters(tenant, "", kPage); !page.empty();
         page = store.ListAdapters(tenant, adapter, kPage)) {
      adapter = page.back().name;
      for (const AdapterInfo& info : page) {
        ASSIGN_OR_RETURN(
            const auto versions,
            store.ListVersions(tenant, info.name, "", static_cast<size_t>(info.versions)));
        for (const VersionInfo& version : versions) RETURN_IF_ERROR(visit(version));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status List(Store* store, const Arguments&, bool json) {
  return EachVersion(*store, [&](const VersionInfo& v) {
    const std::string state = v.state == VersionState::kReady ? "READY" : "QUARANTINED";
    std::string aliases;
    for (const std::string& alias : v.aliases) aliases += (aliases.empty() ? "" : ",") + alias;
    Print(
        json,
        {{"tenant", v.version.tenant},
         {"adapter", v.version.name},
         {"version", v.version.version},
         {"state", state},
         {"reason", v.quarantine_reason},
         {"aliases", v.aliases},
         {"pinned", v.pinned},
         {"fits_base", v.fits_base},
         {"weights_bytes", v.version.weights_bytes}},
        absl::StrFormat("%-20s %-24s %s %-11s %12d %s", v.version.tenant, v.version.name,
                        v.version.version.substr(0, 12), state, v.version.weights_bytes, aliases));
    return absl::OkStatus();
  });
}

// Reads every READY version and compares its digest.
absl::Status Verify(Store* store, const Arguments&, bool json) {
  int64_t good = 0, bad = 0;
  RETURN_IF_ERROR(EachVersion(*store, [&](const VersionInfo& v) {
    absl::Status status = absl::OkStatus();
    if (v.state == VersionState::kReady) {
      status = store->Export(v.version.tenant, v.version.name, v.version.version).status();
    } else {
      status = MakeError(absl::StatusCode::kDataLoss, reasons::kVersionQuarantined, "",
                         v.quarantine_reason);
    }
    ++(status.ok() ? good : bad);
    if (!status.ok()) {
      std::cerr << v.version.tenant << "/" << v.version.name << "@sha256:" << v.version.version
                << ": " << ErrorReason(status) << "\n";
    }
    return absl::OkStatus();
  }));
  Print(json, {{"good", good}, {"bad", bad}}, absl::StrFormat("good=%d bad=%d", good, bad));
  if (bad == 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, reasons::kDigestMismatch, "",
                   "not every version is what was stored");
}

absl::Status Export(Store* store, const Arguments& a, bool) {
  std::string version = a.version;
  if (version.empty()) {
    ASSIGN_OR_RETURN(const StoredVersion live, store->Resolve(a.tenant, a.name, ""));
    version = live.version;
  }
  ASSIGN_OR_RETURN(const auto exported, store->Export(a.tenant, a.name, version));
  std::error_code error;
  std::filesystem::create_directories(a.folder, error);
  const auto bytes = exported.weights->bytes();
  std::ofstream config(a.folder + kConfigFile, std::ios::binary);
  config << exported.config_json << std::flush;
  std::ofstream weights(a.folder + kWeightsFile, std::ios::binary);
  weights.write(reinterpret_cast<const char*>(bytes.data()),
                static_cast<std::streamsize>(bytes.size()));
  weights.flush();
  if (config && weights) return absl::OkStatus();
  return MakeError(absl::StatusCode::kUnavailable, reasons::kStoreUnwritable, "folder",
                   "the folder cannot be written");
}

absl::Status Import(Store* store, const Arguments& a, bool json) {
  const AdapterLimits limits;
  ASSIGN_OR_RETURN(const auto config,
                   MappedFile::ReadCopy(a.folder + kConfigFile, limits.config.max_config_bytes));
  ASSIGN_OR_RETURN(const auto weights, MappedFile::Open(a.folder + kWeightsFile));
  UploadHeader header;
  header.tenant = a.tenant;
  header.adapter = a.name;
  header.alias = a.alias;
  header.config_bytes = config->bytes().size();
  header.weights_bytes = weights->bytes().size();
  ASSIGN_OR_RETURN(const auto upload, store->BeginUpload(header, kActor));
  RETURN_IF_ERROR(upload->AddConfig(
      {reinterpret_cast<const char*>(config->bytes().data()), config->bytes().size()}));
  for (auto rest = weights->bytes(); !rest.empty();) {
    const auto piece = rest.first(std::min(rest.size(), kPieceBytes));
    RETURN_IF_ERROR(upload->AddWeights(piece));
    rest = rest.subspan(piece.size());
  }
  ASSIGN_OR_RETURN(const UploadResult result, upload->Finish());
  const std::string& version = result.version.version.version;
  Print(json, {{"version", version}, {"created", result.created}},
        absl::StrFormat("%s@sha256:%s", a.name, version));
  return absl::OkStatus();
}

absl::Status Collect(Store* store, const Arguments&, bool json) {
  ASSIGN_OR_RETURN(const uint64_t freed, store->CollectGarbage());
  Print(json, {{"freed_bytes", freed}}, absl::StrFormat("freed_bytes=%d", freed));
  return absl::OkStatus();
}

absl::Status Audit(Store* store, const Arguments& a, bool json) {
  ASSIGN_OR_RETURN(const auto log, store->AuditLog(a.audited == "-" ? "" : a.audited, a.limit));
  for (const AuditEntry& e : log) {
    const std::string time = absl::FormatTime(absl::RFC3339_sec, e.time, absl::UTCTimeZone());
    Print(json,
          {{"id", e.id},
           {"time", time},
           {"actor", e.actor},
           {"action", e.action},
           {"target", e.target},
           {"result", e.result}},
          absl::StrFormat("%s %-12s %-16s %-12s %s", time, e.actor, e.action, e.result, e.target));
  }
  return absl::OkStatus();
}

absl::Status Erase(Store* store, const Arguments& a, bool) {
  return store->EraseTenant(a.tenant, kActor);
}

int RunOn(const Registry& registry, const Arguments& a, const Work& work) {
  const RealClock clock;
  auto store = Store::OpenExisting({.dir = a.dir}, &clock);
  if (!store.ok()) return Fail(store.status());
  const absl::Status status = work(store->get(), a, registry.common->json());
  return status.ok() ? kOk : Fail(status);
}

int Copy(const std::string& from, const std::string& to) {
  const absl::Status status = BackupStore(from, to);
  return status.ok() ? kOk : Fail(status);
}

}  // namespace

void AddStore(const Registry& registry) {
  auto a = std::make_shared<Arguments>();
  CLI::App* app = registry.app->add_subcommand("store", "Work on a store's folder, offline");
  app->require_subcommand(1);
  app->add_option("--dir", a->dir, "The store's folder")->required();
  const auto add = [&](const char* name, const char* help, Work work) {
    CLI::App* command = app->add_subcommand(name, help);
    command->callback(
        [=] { *registry.chosen = [=](client::Client*) { return RunOn(registry, *a, work); }; });
    return command;
  };
  const auto copy = [&](const char* name, const char* help, bool back) {
    CLI::App* command = app->add_subcommand(name, help);
    command->add_option("folder", a->folder, "The copy's folder")->required();
    command->callback([=] {
      *registry.chosen = [=](client::Client*) {
        return back ? Copy(a->folder, a->dir) : Copy(a->dir, a->folder);
      };
    });
  };
  add("verify", "Read every version and compare its digest", Verify);
  add("list", "List every version of every tenant", List);
  add("gc", "Remove weights that no version needs", Collect);
  CLI::App* audit = add("audit", "Show who changed what, newest first", Audit);
  audit->add_option("--of", a->audited, "Tenant; - is all")->capture_default_str();
  audit->add_option("--limit", a->limit, "Entries")->capture_default_str();
  add("erase-tenant", "Erase everything a tenant has", Erase)
      ->add_option("tenant", a->tenant, "Tenant")
      ->required();
  CLI::App* out = add("export", "Write a version as PEFT files", Export);
  CLI::App* in = add("import", "Take PEFT files in as a version", Import);
  for (CLI::App* command : {out, in}) {
    command->add_option("folder", a->folder, "Folder of the PEFT files")->required();
    command->add_option("--of", a->tenant, "Tenant");
    command->add_option("--id", a->name, "Adapter")->required();
  }
  out->add_option("--version-digest", a->version, "64 hex digits; default: what live points to");
  in->add_option("--alias", a->alias, "Alias to switch to it");
  copy("backup", "Copy the store, also while a server has it", false);
  copy("restore", "Make the store's folder, which is empty, from a copy", true);
}

}  // namespace lamella::cli
