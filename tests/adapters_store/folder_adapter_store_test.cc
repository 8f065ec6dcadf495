#include "adapters_store/folder_adapter_store.h"

#include <filesystem>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "adapters_store/adapter_id.h"
#include "common/base/reasons.h"
#include "common/formats/digest.h"
#include "gtest/gtest.h"
#include "tests/testing/base_specs.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;
using testing::PeftAdapter;

constexpr char kQ0[] = "model.layers.0.self_attn.q_proj";
constexpr char kWeights[] = "/adapter_model.safetensors";

PeftAdapter Good(float a = 0.5F) {
  PeftAdapter adapter;
  adapter.Config(R"({"peft_type":"LORA","r":2,"lora_alpha":4})").Module(kQ0, 2, 8, 8, a);
  return adapter;
}

class FolderAdapterStoreTest : public ::testing::Test {
 protected:
  void OpenStore() {
    auto store = FolderAdapterStore::Open(dir_.path(), testing::TinySpec(), {});
    ASSERT_TRUE(IsOk(store));
    store_ = *std::move(store);
  }
  absl::StatusOr<StoredVersion> Resolve(std::string_view id,
                                        std::string_view tenant = kDefaultTenant) const {
    return store_->Resolve(tenant, id, "");
  }
  // Opens the store with one adapter "bad" and asks for it.
  absl::StatusOr<StoredVersion> ResolveBad(const PeftAdapter& adapter) {
    adapter.WriteTo(dir_, "bad");
    OpenStore();
    return Resolve("bad");
  }

  const testing::TempDir dir_;
  std::unique_ptr<FolderAdapterStore> store_;
};

TEST_F(FolderAdapterStoreTest, ResolvesNameAliasAndVersionToOneVersion) {
  Good().WriteTo(dir_, "tone");
  OpenStore();
  const auto live = Resolve("tone");
  ASSERT_TRUE(IsOk(live));
  EXPECT_EQ(live->tenant, "default");
  EXPECT_EQ(live->name, "tone");
  EXPECT_EQ(live->alias, "live");
  EXPECT_TRUE(IsLowerHex(live->version));
  EXPECT_EQ(live->max_rank, 2);
  EXPECT_EQ(live->modules, 1);
  EXPECT_EQ(live->parameters, 32);
  EXPECT_EQ(live->weights_bytes, Good().weights.Bytes().size());
  for (const std::string& id : {std::string("tone@live"), "tone@sha256:" + live->version,
                                "tone@sha256:" + live->version.substr(0, 12)}) {
    const auto other = Resolve(id);
    ASSERT_TRUE(IsOk(other)) << id;
    EXPECT_EQ(other->version, live->version);
  }
}

TEST_F(FolderAdapterStoreTest, VersionHashesCanonicalConfigAndWeights) {
  Good().WriteTo(dir_, "a");
  PeftAdapter spelled = Good();
  spelled.Config(
      R"( {"lora_dropout":0.1, "lora_alpha":4.0, "target_modules":["q_proj"], "r":2, "peft_type":"LORA"})");
  spelled.WriteTo(dir_, "b");
  PeftAdapter alpha = Good();
  alpha.Config(R"({"peft_type":"LORA","r":2,"lora_alpha":5})").WriteTo(dir_, "c");
  Good(0.25F).WriteTo(dir_, "d");
  OpenStore();
  EXPECT_EQ(Resolve("a")->version, Resolve("b")->version);
  EXPECT_NE(Resolve("a")->version, Resolve("c")->version);
  EXPECT_NE(Resolve("a")->version, Resolve("d")->version);
  EXPECT_EQ(Resolve("a")->version,
            Sha256Hex("lamella-adapter-v1\n"
                      "{\"alpha_pattern\":[],\"lora_alpha\":4,\"peft_type\":\"LORA\",\"r\":2,"
                      "\"rank_pattern\":[],\"use_rslora\":false}\n" +
                      Sha256Hex(Good().weights.Bytes()) + "\n"));
}

TEST_F(FolderAdapterStoreTest, UnknownAndForeignGetOneAnswer) {
  Good().WriteTo(dir_, "tone");
  OpenStore();
  const std::string version = Resolve("tone")->version;
  const std::string other = (version[0] == 'a' ? "b" : "a") + version.substr(1);
  for (const std::string& id : {std::string("none"), std::string("none@live"),
                                std::string("tone@canary"), "tone@sha256:" + other}) {
    EXPECT_EQ(Resolve(id).status(), AdapterNotFound(id)) << id;
  }
  EXPECT_EQ(Resolve("tone", "other").status(), AdapterNotFound("tone"));
  EXPECT_EQ(Resolve("tone", "").status(), AdapterNotFound("tone"));
  EXPECT_TRUE(store_->List("other").empty());
  StoredVersion foreign = *Resolve("tone");
  foreign.tenant = "other";
  EXPECT_EQ(store_->Open(foreign).status(), AdapterNotFound("tone"));
}

TEST_F(FolderAdapterStoreTest, InvalidIdsAreToldApartFromUnknownOnes) {
  OpenStore();
  for (const char* id : {"", "Tone", "../x", "tone@", "tone@sha256:xyz"}) {
    EXPECT_TRUE(IsInvalid(Resolve(id), reasons::kInvalidAdapterId, "adapter_id")) << id;
  }
}

TEST_F(FolderAdapterStoreTest, OneBadAdapterStopsNoOther) {
  Good().WriteTo(dir_, "good");
  PeftAdapter dora = Good();
  dora.Config(R"({"peft_type":"LORA","r":2,"use_dora":true})").WriteTo(dir_, "dora");
  Good().WriteTo(dir_, "Bad Name");
  dir_.Write("notes.txt", "not a folder");
  dir_.Write(".hidden/x", "");
  OpenStore();
  EXPECT_TRUE(IsOk(Resolve("good")));
  EXPECT_TRUE(IsError(Resolve("dora"), absl::StatusCode::kUnimplemented,
                      reasons::kUnsupportedFeature, "use_dora", "adapter \"dora\": use_dora"));
  const auto list = store_->List(kDefaultTenant);
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].version.name, "Bad Name");
  EXPECT_TRUE(IsInvalid(list[0].status, reasons::kInvalidAdapterId, "name", "Bad Name"));
  EXPECT_EQ(list[1].version.name, "dora");
  EXPECT_EQ(list[1].version.version, "");
  EXPECT_FALSE(list[1].status.ok());
  EXPECT_EQ(list[2].version.name, "good");
  EXPECT_TRUE(IsOk(list[2].status));
}

TEST_F(FolderAdapterStoreTest, RefusedAdapterHasNoVersionToAskFor) {
  EXPECT_FALSE(ResolveBad(PeftAdapter()).ok());
  const std::string id = "bad@sha256:0123456789ab";
  EXPECT_EQ(Resolve(id).status(), AdapterNotFound(id));
}

// What one peer was seen to do with bad adapters, row by row: each is refused here with a reason.
TEST_F(FolderAdapterStoreTest, NoTensorThatMatchesAModuleIsRefused) {
  PeftAdapter adapter;
  adapter.Module("encoder.block.0.q", 8, 8, 8);
  EXPECT_TRUE(IsInvalid(ResolveBad(adapter), reasons::kNoModuleBound,
                        PeftAdapter::TensorName("encoder.block.0.q", "lora_A"),
                        "adapter \"bad\": "));
}

TEST_F(FolderAdapterStoreTest, WrongShapesAreRefused) {
  PeftAdapter adapter;
  adapter.Module(kQ0, 8, 576, 576);
  EXPECT_TRUE(IsInvalid(ResolveBad(adapter), reasons::kShapeMismatch,
                        PeftAdapter::TensorName(kQ0, "lora_A"), "must be [8, 8], is [8, 576]"));
}

TEST_F(FolderAdapterStoreTest, AnotherRankThanTheTensorsIsRefused) {
  PeftAdapter adapter;
  adapter.Module(kQ0, 4, 8, 8);
  EXPECT_TRUE(IsInvalid(ResolveBad(adapter), reasons::kRankMismatch,
                        PeftAdapter::TensorName(kQ0, "lora_A")));
}

TEST_F(FolderAdapterStoreTest, NanInAWeightIsRefused) {
  EXPECT_TRUE(IsInvalid(ResolveBad(Good(std::numeric_limits<float>::quiet_NaN())),
                        reasons::kNonFinite, PeftAdapter::TensorName(kQ0, "lora_A")));
}

TEST_F(FolderAdapterStoreTest, MissingBIsRefused) {
  PeftAdapter adapter = Good();
  adapter.weights = {};
  adapter.weights.Fill(PeftAdapter::TensorName(kQ0, "lora_A"), {2, 8}, 1);
  EXPECT_TRUE(IsInvalid(ResolveBad(adapter), reasons::kMissingPair,
                        PeftAdapter::TensorName(kQ0, "lora_A")));
}

TEST_F(FolderAdapterStoreTest, TruncatedFileIsRefused) {
  const std::string whole = Good().weights.Bytes();
  Good().WriteTo(dir_, "bad");
  dir_.Write(std::string("bad") + kWeights, whole.substr(0, whole.size() - 5));
  OpenStore();
  EXPECT_TRUE(IsInvalid(Resolve("bad"), reasons::kTruncated, PeftAdapter::TensorName(kQ0, "lora_B"),
                        "ends at byte"));
}

TEST_F(FolderAdapterStoreTest, DuplicateKeysInTheConfigAreRefused) {
  PeftAdapter adapter = Good();
  adapter.Config(R"({"peft_type":"LORA","r":2,"r":2})");
  EXPECT_TRUE(IsInvalid(ResolveBad(adapter), reasons::kDuplicateKey, "r"));
}

TEST_F(FolderAdapterStoreTest, MissingFilesAreNamed) {
  dir_.Write("empty/readme", "");
  dir_.Write("noweights/adapter_config.json", Good().config_json);
  dir_.Write("pickle/adapter_config.json", Good().config_json);
  dir_.Write("pickle/adapter_model.bin", "PK");
  OpenStore();
  EXPECT_TRUE(IsInvalid(Resolve("empty"), reasons::kMissingFile, "adapter_config.json"));
  EXPECT_TRUE(IsInvalid(Resolve("noweights"), reasons::kMissingFile, "adapter_model.safetensors"));
  EXPECT_TRUE(IsInvalid(Resolve("pickle"), reasons::kUnsupportedFormat, "adapter_model.bin",
                        "safe_serialization"));
  for (const AdapterListing& listing : store_->List(kDefaultTenant)) {
    EXPECT_EQ(std::string(listing.status.message()).find(dir_.path()), std::string::npos);
  }
}

TEST_F(FolderAdapterStoreTest, MissingFolderIsAnError) {
  const auto store = FolderAdapterStore::Open(dir_.path() + "/none", testing::TinySpec(), {});
  EXPECT_TRUE(IsError(store, absl::StatusCode::kNotFound, reasons::kMissingFile, "adapters_dir"));
}

TEST_F(FolderAdapterStoreTest, OpenGivesWhatWasValidated) {
  Good(0.75F).WriteTo(dir_, "tone");
  OpenStore();
  const auto files = store_->Open(*Resolve("tone"));
  ASSERT_TRUE(IsOk(files));
  ASSERT_EQ(files->validated.modules.size(), 1U);
  std::vector<float> a(16);
  ASSERT_TRUE(IsOk(ReadAsFloat(*files->validated.modules[0].a, 0, 2, a.data())));
  EXPECT_EQ(a, std::vector<float>(16, 0.75F));
  EXPECT_EQ(files->validated.modules[0].scale, 2.0F);
}

TEST_F(FolderAdapterStoreTest, ChangedFileIsDataLossAndARestoredOneIsFine) {
  Good(0.5F).WriteTo(dir_, "tone");
  OpenStore();
  const StoredVersion version = *Resolve("tone");
  Good(0.25F).WriteTo(dir_, "tone");  // same size, other values
  EXPECT_TRUE(IsError(store_->Open(version), absl::StatusCode::kDataLoss, reasons::kDigestMismatch,
                      "adapter_model.safetensors"));
  dir_.Write(std::string("tone") + kWeights, "short");
  EXPECT_TRUE(IsError(store_->Open(version), absl::StatusCode::kDataLoss, reasons::kDigestMismatch,
                      "adapter_model.safetensors"));
  std::filesystem::remove(dir_.path() + "/tone" + kWeights);
  EXPECT_TRUE(IsError(store_->Open(version), absl::StatusCode::kDataLoss, reasons::kMissingFile,
                      "adapter_model.safetensors"));
  Good(0.5F).WriteTo(dir_, "tone");
  EXPECT_TRUE(IsOk(store_->Open(version)));
}

TEST_F(FolderAdapterStoreTest, OpenFilesOutliveTheFolder) {
  Good(0.5F).WriteTo(dir_, "tone");
  OpenStore();
  const auto files = store_->Open(*Resolve("tone"));
  ASSERT_TRUE(IsOk(files));
  dir_.Write(std::string("tone") + kWeights, "");
  store_.reset();
  EXPECT_TRUE(IsOk(CheckFinite(*files->weights, 1)));
}

}  // namespace
}  // namespace lamella
