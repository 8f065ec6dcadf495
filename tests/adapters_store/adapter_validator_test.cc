#include "adapters_store/adapter_validator.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "gtest/gtest.h"
#include "tests/testing/base_specs.h"
#include "tests/testing/safetensors_writer.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::AsBytes;
using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;
using testing::PeftAdapter;

constexpr char kQ0[] = "model.layers.0.self_attn.q_proj";  // in 8, out 8
constexpr char kV1[] = "model.layers.1.self_attn.v_proj";  // in 8, out 4
constexpr char kDown1[] = "model.layers.1.mlp.down_proj";  // in 16, out 8
constexpr float kInf = std::numeric_limits<float>::infinity();

std::string A(std::string_view path) { return PeftAdapter::TensorName(path, "lora_A"); }
std::string B(std::string_view path) { return PeftAdapter::TensorName(path, "lora_B"); }

// A tiny base and an adapter of rank 2 to put in front of it.
class AdapterValidatorTest : public ::testing::Test {
 protected:
  AdapterValidatorTest() { adapter_.Config(R"({"peft_type":"LORA","r":2,"lora_alpha":3})"); }

  absl::StatusOr<ValidatedAdapter> Validate() {
    bytes_ = adapter_.weights.Bytes();
    auto file = SafetensorsFile::Parse(AsBytes(bytes_), limits_.tensors);
    EXPECT_TRUE(IsOk(file));
    file_.emplace(*std::move(file));
    const auto config = ParsePeftConfig(adapter_.config_json);
    EXPECT_TRUE(IsOk(config));
    return ValidateAdapter(*config, *file_, base_, limits_);
  }

  const BaseSpec base_ = testing::TinySpec();
  AdapterLimits limits_;
  PeftAdapter adapter_;
  std::string bytes_;
  std::optional<SafetensorsFile> file_;
};

TEST_F(AdapterValidatorTest, BindsEveryPairToItsModule) {
  adapter_.Module(kV1, 2, 8, 4).Module(kQ0, 2, 8, 8);
  const auto adapter = Validate();
  ASSERT_TRUE(IsOk(adapter));
  ASSERT_EQ(adapter->modules.size(), 2U);
  const BoundModule& q = adapter->modules[0];
  EXPECT_EQ(base_.modules[static_cast<size_t>(q.module_index)].path, kQ0);
  EXPECT_EQ(q.rank, 2);
  EXPECT_EQ(q.scale, 1.5F);
  EXPECT_EQ(q.a->name, A(kQ0));
  EXPECT_EQ(q.b->name, B(kQ0));
  EXPECT_EQ(base_.modules[static_cast<size_t>(adapter->modules[1].module_index)].path, kV1);
  EXPECT_EQ(adapter->max_rank, 2);
  EXPECT_EQ(adapter->parameters, 2 * (8 + 8) + 2 * (8 + 4));
}

TEST_F(AdapterValidatorTest, RankAndAlphaPatternsAreHonoured) {
  adapter_.Config(R"({"peft_type":"LORA","r":2,"lora_alpha":4,"rank_pattern":{"down_proj":5},)"
                  R"("alpha_pattern":{"down_proj":10}})");
  adapter_.Module(kQ0, 2, 8, 8).Module(kDown1, 5, 16, 8);
  const auto adapter = Validate();
  ASSERT_TRUE(IsOk(adapter));
  EXPECT_EQ(adapter->modules[0].scale, 2.0F);
  EXPECT_EQ(adapter->modules[1].rank, 5);
  EXPECT_EQ(adapter->modules[1].scale, 2.0F);
  EXPECT_EQ(adapter->max_rank, 5);
}

TEST_F(AdapterValidatorTest, NoModuleBoundIsRefused) {
  EXPECT_TRUE(IsInvalid(Validate(), reasons::kNoModuleBound, "", "none of the 0 tensors"));
  adapter_.Module("transformer.h.0.attn.c_attn", 2, 8, 24);
  EXPECT_TRUE(IsInvalid(Validate(), reasons::kNoModuleBound, A("transformer.h.0.attn.c_attn"),
                        "none of the 2 tensors"));
}

TEST_F(AdapterValidatorTest, OneUnknownTensorIsRefusedByName) {
  const std::string names[] = {"model.layers.0.self_attn.q_proj.lora_A.weight",
                               "base_model.model.lm_head.weight",
                               A("model.layers.2.self_attn.q_proj"),
                               A("layers.0.self_attn.q_proj"),
                               "base_model.model..lora_A.weight",
                               "base_model.model.lora_A.weight",
                               absl::StrCat("base_model.model.", kQ0, ".lora_A.default.weight"),
                               "x"};
  for (const std::string& name : names) {
    adapter_.weights = {};
    adapter_.Module(kQ0, 2, 8, 8).weights.Fill(name, {2, 8}, 1);
    EXPECT_TRUE(IsInvalid(Validate(), reasons::kUnknownTensor, name)) << name;
  }
}

TEST_F(AdapterValidatorTest, MissingHalfOfAPairIsRefused) {
  adapter_.Module(kQ0, 2, 8, 8).weights.Fill(A(kV1), {2, 8}, 1);
  EXPECT_TRUE(IsInvalid(Validate(), reasons::kMissingPair, A(kV1), "no matching lora_B"));
  adapter_.weights = {};
  adapter_.weights.Fill(B(kQ0), {8, 2}, 1);
  EXPECT_TRUE(IsInvalid(Validate(), reasons::kMissingPair, B(kQ0), "no matching lora_A"));
}

TEST_F(AdapterValidatorTest, ShapeMismatchNamesExpectedAndFound) {
  struct Case {
    std::vector<int64_t> a, b;
    std::string field, message;
  };
  const Case cases[] = {
      {{2, 9}, {8, 2}, A(kQ0), "must be [2, 8], is [2, 9]"},
      {{2, 8}, {9, 2}, B(kQ0), "must be [8, 2], is [9, 2]"},
      {{2, 8}, {8, 3}, B(kQ0), "must be [8, 2], is [8, 3]"},
      {{8, 2}, {2, 8}, A(kQ0), "must be [8, 8], is [8, 2]"},
      {{16}, {8, 2}, A(kQ0), "must be [16, 8], is [16]"},
      {{}, {8, 1}, A(kQ0), "must be [1, 8], is []"},
  };
  for (const Case& c : cases) {
    adapter_.weights = {};
    adapter_.weights.Fill(A(kQ0), c.a, 1).Fill(B(kQ0), c.b, 1);
    EXPECT_TRUE(IsInvalid(Validate(), reasons::kShapeMismatch, c.field, c.message));
  }
}

TEST_F(AdapterValidatorTest, RankThatTheConfigDoesNotExplainIsRefused) {
  adapter_.Module(kQ0, 4, 8, 8);
  EXPECT_TRUE(
      IsInvalid(Validate(), reasons::kRankMismatch, A(kQ0), "has rank 4, the config says 2"));
  adapter_.Config(R"({"peft_type":"LORA","r":4,"rank_pattern":{"q_proj":2}})");
  EXPECT_TRUE(IsInvalid(Validate(), reasons::kRankMismatch, A(kQ0)));
}

TEST_F(AdapterValidatorTest, RankAboveTheLimitIsRefused) {
  limits_.max_rank = 1;
  adapter_.Module(kQ0, 2, 8, 8);
  EXPECT_TRUE(IsInvalid(Validate(), reasons::kLimitExceeded, A(kQ0), "at most 1"));
}

TEST_F(AdapterValidatorTest, ScaleMustFitFp32) {
  adapter_.Config(R"({"peft_type":"LORA","r":2,"lora_alpha":1e300})").Module(kQ0, 2, 8, 8);
  EXPECT_TRUE(IsInvalid(Validate(), reasons::kInvalidConfigValue, "lora_alpha"));
}

TEST_F(AdapterValidatorTest, TensorsOfOtherMethodsAreRefusedByName) {
  const std::string prefix = absl::StrCat("base_model.model.", kQ0);
  for (const std::string& name :
       {prefix + ".lora_magnitude_vector.weight", prefix + ".lora_embedding_A",
        prefix + ".lora_B.bias", prefix + ".base_layer.bias",
        std::string("base_model.model.lm_head.modules_to_save.weight")}) {
    adapter_.weights = {};
    adapter_.Module(kQ0, 2, 8, 8).weights.Fill(name, {8}, 1);
    EXPECT_TRUE(
        IsError(Validate(), absl::StatusCode::kUnimplemented, reasons::kUnsupportedFeature, name))
        << name;
  }
}

TEST_F(AdapterValidatorTest, OtherBasesAdapterIsRefused) {
  adapter_.Module(kQ0, 2, 576, 576);
  EXPECT_TRUE(IsInvalid(Validate(), reasons::kShapeMismatch, A(kQ0)));
}

absl::Status CheckValues(const std::vector<float>& values, DType dtype, float max_abs = 1e8F) {
  const std::string bytes = testing::SafetensorsWriter()
                                .Fill("first", {4}, 1, dtype)
                                .Add("second", {static_cast<int64_t>(values.size())}, values, dtype)
                                .Bytes();
  const auto file = SafetensorsFile::Parse(AsBytes(bytes), {});
  EXPECT_TRUE(IsOk(file));
  return CheckFinite(*file, max_abs);
}

TEST(CheckFiniteTest, NanAndInfinityAreFoundAnywhereInAnyDtype) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (size_t at = 0; at < 9; ++at) {
      for (const float bad : {std::nanf(""), -std::nanf(""), kInf, -kInf}) {
        std::vector<float> values(9, -1.0F);
        EXPECT_TRUE(IsOk(CheckValues(values, dtype)));
        values[at] = bad;
        EXPECT_TRUE(IsInvalid(CheckValues(values, dtype), reasons::kNonFinite, "second"));
      }
    }
  }
}

TEST(CheckFiniteTest, MagnitudesBeyondTheLimitAreRefused) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    EXPECT_TRUE(IsOk(CheckValues({4, -4}, dtype, 4)));
    EXPECT_TRUE(IsInvalid(CheckValues({0, -8}, dtype, 4), reasons::kOutOfRange, "second",
                          "magnitude of 8"));
  }
}

}  // namespace
}  // namespace lamella
