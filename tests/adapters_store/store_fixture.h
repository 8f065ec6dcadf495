// A durable store in a folder of its own, and uploads in one line.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "adapters_store/durable_adapter_store.h"
#include "gtest/gtest.h"
#include "tests/testing/base_specs.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status.h"

namespace lamella::testing {

inline constexpr char kQ0[] = "model.layers.0.self_attn.q_proj";

// Adapters with different values are different versions.
inline PeftAdapter SmallAdapter(float a = 0.5F) {
  PeftAdapter adapter;
  adapter.Config(R"({"peft_type":"LORA","r":2,"lora_alpha":4})").Module(kQ0, 2, 8, 8, a);
  return adapter;
}

inline UploadHeader HeaderFor(const PeftAdapter& adapter, std::string tenant, std::string name) {
  UploadHeader header;
  header.tenant = std::move(tenant);
  header.adapter = std::move(name);
  header.alias = "live";
  header.config_bytes = adapter.config_json.size();
  header.weights_bytes = adapter.weights.Bytes().size();
  return header;
}

// In pieces of `piece` bytes.
inline absl::StatusOr<UploadResult> UploadTo(DurableAdapterStore* store, const UploadHeader& header,
                                             const PeftAdapter& adapter, const Actor& actor = {},
                                             size_t piece = 64) {
  auto upload = store->BeginUpload(header, actor);
  if (!upload.ok()) return upload.status();
  absl::Status status = (*upload)->AddConfig(adapter.config_json);
  const std::string weights = adapter.weights.Bytes();
  for (size_t at = 0; status.ok() && at < weights.size(); at += piece) {
    status = (*upload)->AddWeights(AsBytes(std::string_view(weights).substr(at, piece)));
  }
  if (!status.ok()) return status;
  return (*upload)->Finish();
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { OpenStore(); }

  void OpenStore() {
    store_ = nullptr;
    options_.dir = Dir();
    auto store = DurableAdapterStore::Open(options_, base_, &clock_);
    ASSERT_TRUE(IsOk(store));
    store_ = *std::move(store);
  }
  std::string Dir() const { return dir_.path() + "/store"; }

  absl::StatusOr<UploadResult> Upload(const PeftAdapter& adapter, const std::string& name = "tone",
                                      const std::string& tenant = "acme") {
    return UploadTo(store_.get(), HeaderFor(adapter, tenant, name), adapter, actor_);
  }
  // The digest of a version that is there now.
  std::string Put(float a, const std::string& name = "tone", const std::string& tenant = "acme") {
    const auto result = Upload(SmallAdapter(a), name, tenant);
    EXPECT_TRUE(IsOk(result));
    clock_.Advance(absl::Seconds(1));
    return result.ok() ? result->version.version.version : "";
  }
  // Regular files below a folder of the store.
  size_t Files(const std::string& folder) const { return FilesOf(folder).size(); }
  std::vector<std::string> FilesOf(const std::string& folder) const {
    std::vector<std::string> files;
    for (const auto& at : std::filesystem::recursive_directory_iterator(Dir() + "/" + folder)) {
      if (at.is_regular_file()) files.push_back(at.path().string());
    }
    return files;
  }
  void ExpectNothingLeft() const {
    EXPECT_EQ(Files("tmp"), 0U);
    EXPECT_EQ(Files("blobs"), 0U);
    EXPECT_TRUE(store_->Tenants().empty());
  }

  const TempDir dir_;
  FakeClock clock_;
  BaseSpec base_ = TinySpec();
  Actor actor_{.name = "tester", .request_id = ""};
  DurableStoreOptions options_;
  std::unique_ptr<DurableAdapterStore> store_;
};

}  // namespace lamella::testing
