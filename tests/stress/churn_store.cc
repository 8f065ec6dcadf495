#include "tests/stress/churn_store.h"

#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters_store/durable_adapter_store.h"
#include "common/base/status_macros.h"

namespace lamella::testing {
namespace {

constexpr size_t kChunkBytes = 64 << 10;

class DurableChurnStore final : public ChurnStore {
 public:
  explicit DurableChurnStore(std::unique_ptr<DurableAdapterStore> store)
      : store_(std::move(store)) {}

  const AdapterStore& store() const override { return *store_; }

  void Join(AdapterManager* manager) override {
    store_->SetChangeListener([this, manager](const StoreChange& change) {
      if (change.version.empty() || change.kind == ChangeKind::kCreated) return;
      const AdapterRef ref{change.tenant, change.adapter, change.version};
      const auto still = store_->Resolve(
          ref.tenant, absl::StrCat(ref.name, "@sha256:", ref.version), /*routing_key=*/"");
      if (!still.ok()) manager->Retire(ref, still.status());
    });
  }

  absl::StatusOr<std::string> Upload(const std::string& name, const ChurnContent& content,
                                     const std::string& alias) override {
    UploadHeader header;
    header.tenant = kChurnTenant;
    header.adapter = name;
    header.alias = alias;
    header.config_bytes = content.config_json.size();
    header.weights_bytes = content.weights.size();
    ASSIGN_OR_RETURN(auto upload, store_->BeginUpload(header, actor_));
    RETURN_IF_ERROR(upload->AddConfig(content.config_json));
    const auto weights = std::as_bytes(std::span(content.weights));
    for (size_t at = 0; at < weights.size(); at += kChunkBytes) {
      RETURN_IF_ERROR(
          upload->AddWeights(weights.subspan(at, std::min(kChunkBytes, weights.size() - at))));
    }
    ASSIGN_OR_RETURN(const UploadResult result, upload->Finish());
    return result.version.version.version;
  }

  absl::Status SetAlias(const std::string& name, const std::string& alias,
                        const std::string& version) override {
    const AliasInfo info{.alias = alias, .targets = {{.version = version, .weight = 1}}};
    return store_->SetAlias(kChurnTenant, name, info, /*etag=*/"", actor_).status();
  }

  absl::Status DeleteVersion(const std::string& name, const std::string& version) override {
    return store_->DeleteVersion(kChurnTenant, name, version, /*etag=*/"", /*force=*/false, actor_);
  }

 private:
  const Actor actor_{.name = "churn", .request_id = ""};
  const std::unique_ptr<DurableAdapterStore> store_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ChurnStore>> OpenChurnStore(const std::string& dir,
                                                           const BaseSpec& base,
                                                           const Clock* clock) {
  ASSIGN_OR_RETURN(auto store, DurableAdapterStore::Open({.dir = dir}, base, clock));
  return std::make_unique<DurableChurnStore>(std::move(store));
}

}  // namespace lamella::testing
