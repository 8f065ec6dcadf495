// Uploads that must not get in: each leaves no row, no blob, no temporary file.
#include <atomic>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "common/base/reasons.h"
#include "common/formats/digest.h"
#include "tests/adapters_store/store_fixture.h"

namespace lamella {
namespace {

using testing::AsBytes;
using testing::HeaderFor;
using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;
using testing::kQ0;
using testing::PeftAdapter;
using testing::SmallAdapter;
using testing::UploadTo;

class DurableUploadTest : public testing::StoreTest {
 protected:
  // For each size of piece: the same refusal, and nothing left.
  void ExpectRefused(const UploadHeader& header, const PeftAdapter& adapter,
                     const std::string& reason, const std::string& field = "",
                     absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
    for (const size_t piece : {1, 3, 64, 1 << 20}) {
      EXPECT_TRUE(
          IsError(UploadTo(store_.get(), header, adapter, actor_, piece), code, reason, field))
          << piece;
      ExpectNothingLeft();
    }
    OpenStore();
    ExpectNothingLeft();
  }
  void ExpectRefused(const PeftAdapter& adapter, const std::string& reason,
                     const std::string& field = "",
                     absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
    ExpectRefused(HeaderFor(adapter, "acme", "tone"), adapter, reason, field, code);
  }
  static std::string A() { return PeftAdapter::TensorName(kQ0, "lora_A"); }
};

TEST_F(DurableUploadTest, ValuesMustBeFinite) {
  ExpectRefused(SmallAdapter(std::numeric_limits<float>::quiet_NaN()), reasons::kNonFinite, A());
  ExpectRefused(SmallAdapter(-std::numeric_limits<float>::infinity()), reasons::kNonFinite, A());
}

TEST_F(DurableUploadTest, ValuesMustBeBounded) {
  ExpectRefused(SmallAdapter(2e8F), reasons::kOutOfRange, A());
}

TEST_F(DurableUploadTest, HalvesAreScannedAcrossPieces) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    PeftAdapter adapter;
    adapter.Config(R"({"peft_type":"LORA","r":2})")
        .Module(kQ0, 2, 8, 8, 0.5F, std::numeric_limits<float>::infinity(), dtype);
    ExpectRefused(adapter, reasons::kNonFinite, PeftAdapter::TensorName(kQ0, "lora_B"));
  }
}

TEST_F(DurableUploadTest, ShapesRanksAndPairsMustFit) {
  PeftAdapter shapes;
  shapes.Config(R"({"peft_type":"LORA","r":2})").Module(kQ0, 2, 576, 576);
  ExpectRefused(shapes, reasons::kShapeMismatch, A());
  PeftAdapter rank;
  rank.Module(kQ0, 2, 8, 8);
  ExpectRefused(rank, reasons::kRankMismatch, A());
  PeftAdapter pair;
  pair.Config(R"({"peft_type":"LORA","r":2})").weights.Fill(A(), {2, 8}, 1);
  ExpectRefused(pair, reasons::kMissingPair, A());
  PeftAdapter other;
  other.Config(R"({"peft_type":"LORA","r":2})").Module("encoder.q", 2, 8, 8);
  ExpectRefused(other, reasons::kNoModuleBound, PeftAdapter::TensorName("encoder.q", "lora_A"));
  PeftAdapter unknown = SmallAdapter();
  unknown.Module("encoder.q", 2, 8, 8);
  ExpectRefused(unknown, reasons::kUnknownTensor, PeftAdapter::TensorName("encoder.q", "lora_A"));
}

TEST_F(DurableUploadTest, ConfigsMustBeUnderstood) {
  ExpectRefused(SmallAdapter().Config(R"({"peft_type":"LORA","r":2,"use_dora":true})"),
                reasons::kUnsupportedFeature, "use_dora", absl::StatusCode::kUnimplemented);
  ExpectRefused(SmallAdapter().Config(R"({"peft_type":"LORA","r":2,"r":2})"),
                reasons::kDuplicateKey, "r");
  ExpectRefused(SmallAdapter().Config(R"({"peft_type":"LORA","r":2,"novel":1})"),
                reasons::kUnknownConfigKey, "novel");
  ExpectRefused(SmallAdapter().Config("{"), reasons::kMalformedJson);
}

TEST_F(DurableUploadTest, OtherFormatsAreRefusedByTheirFirstBytes) {
  for (const std::string& head :
       {std::string("PK\x03\x04"), std::string("\x80\x02}q"), std::string("GGUF\3")}) {
    auto upload = store_->BeginUpload(HeaderFor(SmallAdapter(), "acme", "tone"), actor_);
    ASSERT_TRUE(IsOk(upload));
    ASSERT_TRUE(IsOk((*upload)->AddConfig(SmallAdapter().config_json)));
    const std::string bytes = head + std::string(64, 'x');
    EXPECT_TRUE(IsInvalid((*upload)->AddWeights(AsBytes(bytes)), reasons::kUnsupportedFormat));
    EXPECT_TRUE(IsInvalid((*upload)->Finish(), reasons::kUnsupportedFormat)) << "the first error";
    ExpectNothingLeft();
  }
}

TEST_F(DurableUploadTest, TruncatedUploadsAreRefused) {
  const PeftAdapter adapter = SmallAdapter();
  const std::string weights = adapter.weights.Bytes();
  for (size_t size = 0; size < weights.size(); ++size) {
    auto upload = store_->BeginUpload(HeaderFor(adapter, "acme", "tone"), actor_);
    ASSERT_TRUE(IsOk(upload));
    ASSERT_TRUE(IsOk((*upload)->AddConfig(adapter.config_json)));
    ASSERT_TRUE(IsOk((*upload)->AddWeights(AsBytes(weights.substr(0, size)))));
    EXPECT_TRUE(IsInvalid((*upload)->Finish(), reasons::kTruncated, "weights_bytes"));
  }
  ExpectNothingLeft();
}

TEST_F(DurableUploadTest, AnAbandonedUploadLeavesNothing) {
  const PeftAdapter adapter = SmallAdapter();
  auto upload = store_->BeginUpload(HeaderFor(adapter, "acme", "tone"), actor_);
  ASSERT_TRUE(IsOk(upload));
  ASSERT_TRUE(IsOk((*upload)->AddConfig(adapter.config_json)));
  ASSERT_TRUE(IsOk((*upload)->AddWeights(AsBytes(adapter.weights.Bytes()))));
  EXPECT_EQ(Files("tmp"), 1U);
  upload->reset();
  ExpectNothingLeft();
}

TEST_F(DurableUploadTest, PartsOutOfOrderAreRefused) {
  const PeftAdapter adapter = SmallAdapter();
  const UploadHeader header = HeaderFor(adapter, "acme", "tone");
  auto early = store_->BeginUpload(header, actor_);
  EXPECT_TRUE(IsInvalid((*early)->AddWeights(AsBytes("x")), reasons::kWrongUploadOrder));
  auto more = store_->BeginUpload(header, actor_);
  EXPECT_TRUE(IsInvalid((*more)->AddConfig(adapter.config_json + " "), reasons::kLimitExceeded,
                        "config_bytes"));
  auto late = store_->BeginUpload(header, actor_);
  ASSERT_TRUE(IsOk((*late)->AddConfig(adapter.config_json)));
  EXPECT_TRUE(IsInvalid((*late)->AddConfig("x"), reasons::kWrongUploadOrder));
  auto none = store_->BeginUpload(header, actor_);
  EXPECT_TRUE(IsInvalid((*none)->Finish(), reasons::kTruncated, "config_bytes"));
  auto twice = store_->BeginUpload(header, actor_);
  ASSERT_TRUE(IsOk((*twice)->AddConfig(adapter.config_json)));
  EXPECT_TRUE(IsInvalid((*twice)->AddWeights(AsBytes(adapter.weights.Bytes() + "x")),
                        reasons::kLimitExceeded, "weights_bytes"));
  ExpectNothingLeft();
}

TEST_F(DurableUploadTest, HeadersAreBounded) {
  const PeftAdapter adapter = SmallAdapter();
  const auto refused = [&](const std::string& reason, const std::string& field,
                           const std::function<void(UploadHeader*)>& spoil) {
    UploadHeader header = HeaderFor(adapter, "acme", "tone");
    spoil(&header);
    ExpectRefused(header, adapter, reason, field);
  };
  refused(reasons::kInvalidResourceName, "adapter", [](auto* h) { h->adapter = "../up"; });
  refused(reasons::kInvalidResourceName, "tenant", [](auto* h) { h->tenant = ""; });
  refused(reasons::kInvalidResourceName, "alias", [](auto* h) { h->alias = "Live"; });
  refused(reasons::kOutOfRange, "weights_sha256", [](auto* h) { h->weights_sha256 = "abc"; });
  refused(reasons::kOutOfRange, "base_fingerprint", [](auto* h) { h->base_fingerprint = "f"; });
  refused(reasons::kLimitExceeded, "config_bytes", [](auto* h) { h->config_bytes = 0; });
  refused(reasons::kLimitExceeded, "weights_bytes", [](auto* h) { h->weights_bytes = ~0ULL; });
  refused(reasons::kOutOfRange, "labels", [](auto* h) { h->labels[""] = "x"; });
  refused(reasons::kInvalidUtf8, "labels", [](auto* h) { h->labels["x"] = "\xff"; });
  refused(reasons::kTooMany, "labels", [](auto* h) {
    for (int i = 0; i < 65; ++i) h->labels[std::to_string(i)] = "";
  });
}

TEST_F(DurableUploadTest, TheDigestThatWasPromisedMustCome) {
  const PeftAdapter adapter = SmallAdapter();
  UploadHeader header = HeaderFor(adapter, "acme", "tone");
  header.weights_sha256 = std::string(64, 'a');
  ExpectRefused(header, adapter, reasons::kDigestMismatch, "weights_sha256");
  header.weights_sha256 = Sha256Hex(adapter.weights.Bytes());
  EXPECT_TRUE(IsOk(UploadTo(store_.get(), header, adapter)));
}

TEST_F(DurableUploadTest, ValidateOnlyTellsAndKeepsNothing) {
  const PeftAdapter adapter = SmallAdapter();
  UploadHeader header = HeaderFor(adapter, "acme", "tone");
  header.validate_only = true;
  const auto result = UploadTo(store_.get(), header, adapter);
  ASSERT_TRUE(IsOk(result));
  EXPECT_TRUE(result->created);
  EXPECT_EQ(result->version.version.max_rank, 2);
  EXPECT_TRUE(IsLowerHex(result->version.version.version));
  ExpectNothingLeft();
}

// The same bytes under another name take over the blob while readers are in the middle of it: for
// them nothing is lost, and nothing is quarantined.
TEST_F(DurableUploadTest, ARepeatedUploadDoesNotDisturbReaders) {
  PeftAdapter adapter;
  adapter.Config(R"({"peft_type":"LORA","r":4096,"lora_alpha":4})").Module(kQ0, 4096, 8, 8);
  const auto first = Upload(adapter, "first");
  ASSERT_TRUE(IsOk(first));
  std::atomic<bool> done = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        if (!store_->Open(first->version.version).ok()) ++failed;
      }
    });
  }
  for (int i = 0; i < 40; ++i) {
    const std::string name = "again-" + std::to_string(i);
    EXPECT_TRUE(IsOk(UploadTo(store_.get(), HeaderFor(adapter, "acme", name), adapter, actor_,
                              /*piece=*/1 << 20)));
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(failed, 0);
  EXPECT_TRUE(IsOk(store_->Resolve("acme", "first", "")));
}

}  // namespace
}  // namespace lamella
