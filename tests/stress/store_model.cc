#include "tests/stress/store_model.h"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"
#include "common/formats/peft_config.h"
#include "tests/testing/base_specs.h"
#include "tests/testing/safetensors_writer.h"

namespace lamella::testing {
namespace {

namespace fs = std::filesystem;
using Kind = StoreChangeOp::Kind;

constexpr const char* kTenants[] = {"t0", "t1"};
constexpr const char* kAdapters[] = {"a0", "a1", "a2"};
constexpr const char* kAliases[] = {"live", "canary"};
constexpr size_t kListLimit = 1000;

StoreContent MakeContent(int index) {
  PeftAdapter adapter;
  adapter.Config(R"({"peft_type":"LORA","r":2,"lora_alpha":4})");
  adapter.Module("model.layers.0.self_attn.q_proj", 2, 8, 8, 0.01F * static_cast<float>(index + 1));
  StoreContent content{adapter.config_json, adapter.weights.Bytes(), ""};
  const auto config = ParsePeftConfig(content.config, PeftLimits());
  if (!config.ok()) std::abort();
  content.version = VersionDigest(*config, Sha256Hex(content.weights));
  return content;
}

template <size_t kCount>
const char* OneOf(const char* const (&names)[kCount], std::mt19937* random) {
  return names[(*random)() % kCount];
}

int ContentWith(const std::string& version) {
  for (int i = 0; i < kContents; ++i) {
    if (ContentOf(i).version == version) return i;
  }
  return -1;
}

absl::Status CheckWhole(const DurableAdapterStore& store, const AdapterInfo& adapter,
                        const std::string& version) {
  const int index = ContentWith(version);
  if (index < 0) return absl::DataLossError("a version that nobody uploaded");
  ASSIGN_OR_RETURN(const auto exported, store.Export(adapter.tenant, adapter.name, version));
  const std::string_view weights(reinterpret_cast<const char*>(exported.weights->bytes().data()),
                                 exported.weights->bytes().size());
  const StoreContent& content = ContentOf(index);
  if (exported.config_json == content.config && weights == content.weights) return absl::OkStatus();
  return absl::DataLossError("a version with other bytes than were uploaded");
}

absl::Status UploadContent(const StoreChangeOp& op, DurableAdapterStore* store) {
  const StoreContent& content = ContentOf(op.content);
  UploadHeader header;
  header.tenant = op.tenant;
  header.adapter = op.adapter;
  header.alias = op.alias;
  header.config_bytes = content.config.size();
  header.weights_bytes = content.weights.size();
  ASSIGN_OR_RETURN(const auto upload,
                   store->BeginUpload(header, {.name = "stress", .request_id = ""}));
  RETURN_IF_ERROR(upload->AddConfig(content.config));
  RETURN_IF_ERROR(upload->AddWeights(AsBytes(content.weights)));
  return upload->Finish().status();
}

}  // namespace

const StoreContent& ContentOf(int index) {
  static const auto* const contents = [] {
    auto* made = new std::array<StoreContent, kContents>;
    for (int i = 0; i < kContents; ++i) (*made)[static_cast<size_t>(i)] = MakeContent(i);
    return made;
  }();
  return (*contents)[static_cast<size_t>(index)];
}

std::string StoreChangeOp::ToLine() const {
  return absl::StrCat(static_cast<int>(kind), ",", tenant, ",", adapter, ",", alias, ",", content);
}

StoreChangeOp StoreChangeOp::FromLine(const std::string& line) {
  const std::vector<std::string> parts = absl::StrSplit(line, ',');
  return {static_cast<Kind>(std::stoi(parts.at(0))), parts.at(1), parts.at(2), parts.at(3),
          std::stoi(parts.at(4))};
}

void StoreModel::Apply(const StoreChangeOp& op) {
  const std::pair key(op.tenant, op.adapter);
  const std::string& version = ContentOf(op.content).version;
  Adapter& adapter = adapters_[key];
  switch (op.kind) {
    case Kind::kUpload:
      adapter.versions.insert(version);
      if (!op.alias.empty()) adapter.aliases[op.alias] = version;
      break;
    case Kind::kSetAlias:
      adapter.aliases[op.alias] = version;
      break;
    case Kind::kDeleteVersion:
      adapter.versions.erase(version);
      std::erase_if(adapter.aliases, [&](const auto& alias) { return alias.second == version; });
      break;
    case Kind::kDeleteAdapter:
      adapter.versions.clear();
      break;
  }
  if (adapter.versions.empty()) adapters_.erase(key);
}

StoreChangeOp StoreModel::Pick(std::mt19937* random) const {
  StoreChangeOp op;
  op.tenant = OneOf(kTenants, random);
  op.adapter = OneOf(kAdapters, random);
  op.alias = OneOf(kAliases, random);
  op.content = static_cast<int>((*random)() % kContents);
  const auto found = adapters_.find({op.tenant, op.adapter});
  const uint32_t dice = (*random)() % 10;
  if (found == adapters_.end() || dice < 5) {
    if (dice % 2 == 0) op.alias.clear();
    return op;
  }
  const auto& versions = found->second.versions;
  const auto offset = static_cast<std::ptrdiff_t>((*random)() % versions.size());
  op.content = ContentWith(*std::next(versions.begin(), offset));
  op.kind = dice < 8 ? Kind::kSetAlias : dice < 9 ? Kind::kDeleteVersion : Kind::kDeleteAdapter;
  return op;
}

std::string StoreModel::ToString() const {
  std::string text;
  for (const auto& [key, adapter] : adapters_) {
    absl::StrAppend(&text, key.first, "/", key.second, ":");
    for (const std::string& version : adapter.versions) {
      absl::StrAppend(&text, " ", ContentWith(version));
    }
    for (const auto& [alias, version] : adapter.aliases) {
      absl::StrAppend(&text, " ", alias, "=", ContentWith(version));
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

int StoreModel::Blobs() const {
  std::set<std::pair<std::string, std::string>> blobs;
  for (const auto& [key, adapter] : adapters_) {
    for (const std::string& version : adapter.versions) blobs.emplace(key.first, version);
  }
  return static_cast<int>(blobs.size());
}

absl::StatusOr<StoreModel> StoreModel::Of(const DurableAdapterStore& store) {
  StoreModel model;
  for (const std::string& tenant : store.Tenants()) {
    for (const AdapterInfo& info : store.ListAdapters(tenant, "", kListLimit)) {
      Adapter adapter;
      ASSIGN_OR_RETURN(const auto versions, store.ListVersions(tenant, info.name, "", kListLimit));
      for (const VersionInfo& version : versions) {
        if (version.state != VersionState::kReady) {
          return absl::DataLossError("a version was quarantined: " + version.quarantine_reason);
        }
        RETURN_IF_ERROR(CheckWhole(store, info, version.version.version));
        adapter.versions.insert(version.version.version);
      }
      for (const AliasInfo& alias : info.aliases) {
        if (alias.targets.size() != 1 || !adapter.versions.contains(alias.targets[0].version)) {
          return absl::DataLossError("an alias points nowhere");
        }
        adapter.aliases[alias.alias] = alias.targets[0].version;
      }
      if (!adapter.versions.empty()) model.adapters_[{tenant, info.name}] = std::move(adapter);
    }
  }
  return model;
}

absl::Status Perform(const StoreChangeOp& op, DurableAdapterStore* store) {
  const std::string& version = ContentOf(op.content).version;
  const Actor actor{.name = "stress", .request_id = ""};
  switch (op.kind) {
    case Kind::kUpload:
      return UploadContent(op, store);
    case Kind::kSetAlias:
      return store->SetAlias(op.tenant, op.adapter, {op.alias, {{version, 1}}}, "", actor).status();
    case Kind::kDeleteVersion:
      return store->DeleteVersion(op.tenant, op.adapter, version, "", /*force=*/true, actor);
    case Kind::kDeleteAdapter:
      return store->DeleteAdapter(op.tenant, op.adapter, "", /*force=*/true, actor);
  }
  return absl::InternalError("no such change");
}

absl::StatusOr<std::unique_ptr<DurableAdapterStore>> OpenStressStore(const std::string& dir) {
  static const RealClock* const clock = new RealClock;
  DurableStoreOptions options;
  options.dir = dir;
  options.garbage_grace = absl::ZeroDuration();
  return DurableAdapterStore::Open(options, TinySpec(), clock);
}

int StrayFiles(const std::string& dir, const StoreModel& model) {
  std::error_code ignored;
  const auto files_below = [&](const std::string& folder) {
    int files = 0;
    for (fs::recursive_directory_iterator i(folder, ignored), end; i != end; i.increment(ignored)) {
      if (i->is_regular_file(ignored)) ++files;
    }
    return files;
  };
  return files_below(dir + "/tmp") + files_below(dir + "/blobs") - model.Blobs();
}

}  // namespace lamella::testing
