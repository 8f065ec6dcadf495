#include "common/formats/peft_config.h"

#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "common/formats/json.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace lamella {
namespace {

using testing::IsError;
using testing::IsInvalid;
using testing::IsOk;

constexpr char kQ0[] = "model.layers.0.self_attn.q_proj";
constexpr char kDown7[] = "model.layers.7.mlp.down_proj";

// A plain config with `members` added.
absl::StatusOr<PeftConfig> With(std::string_view members) {
  return ParsePeftConfig(absl::StrCat(R"({"peft_type":"LORA")", members.empty() ? "" : ",",
                                      std::string(members), "}"));
}

::testing::AssertionResult IsUnsupported(const absl::StatusOr<PeftConfig>& config,
                                         std::string_view key) {
  return IsError(config, absl::StatusCode::kUnimplemented, reasons::kUnsupportedFeature, key);
}

TEST(PeftConfigTest, ReadsWhatShapesTheForwardPass) {
  const auto config =
      With(R"("r":16,"lora_alpha":32.5,"use_rslora":false,"task_type":"CAUSAL_LM","revision":null,)"
           R"("base_model_name_or_path":"some/model","peft_version":"0.21.2")");
  ASSERT_TRUE(IsOk(config));
  EXPECT_EQ(config->r, 16);
  EXPECT_EQ(config->RankFor(kQ0), 16);
  EXPECT_DOUBLE_EQ(config->ScaleFor(kQ0, 16), 32.5 / 16);
  EXPECT_EQ(config->base_model_name_or_path, "some/model");
  EXPECT_EQ(config->task_type, "CAUSAL_LM");
}

TEST(PeftConfigTest, AbsentKeysHavePeftsDefaults) {
  const auto config = With("");
  ASSERT_TRUE(IsOk(config));
  EXPECT_EQ(config->r, 8);
  EXPECT_EQ(config->lora_alpha, 8);
  EXPECT_FALSE(config->use_rslora);
}

TEST(PeftConfigTest, RsloraDividesByTheRootOfTheRank) {
  const auto config = With(R"("r":16,"lora_alpha":16,"use_rslora":true)");
  EXPECT_DOUBLE_EQ(config->ScaleFor(kQ0, 16), 4.0);
}

TEST(PeftConfigTest, PatternsSetRankAndAlphaOfAModule) {
  const auto config = With(
      R"("r":8,"lora_alpha":16,"rank_pattern":{"down_proj":4},"alpha_pattern":{"mlp\\..*":2})");
  ASSERT_TRUE(IsOk(config));
  EXPECT_EQ(config->RankFor(kDown7), 4);
  EXPECT_DOUBLE_EQ(config->ScaleFor(kDown7, 4), 0.5);  // divides by the module's own rank
  EXPECT_EQ(config->RankFor(kQ0), 8);
  EXPECT_DOUBLE_EQ(config->ScaleFor(kQ0, 8), 2.0);
}

TEST(PeftConfigTest, FirstPatternInFileOrderWins) {
  const auto config = With(R"("rank_pattern":{"q_proj":2,"self_attn.*":4,"model.*":6})");
  ASSERT_TRUE(IsOk(config));
  EXPECT_EQ(config->RankFor(kQ0), 2);
  EXPECT_EQ(config->RankFor("model.layers.0.self_attn.v_proj"), 4);
  EXPECT_EQ(config->RankFor(kDown7), 6);
}

// tests/golden/peft_patterns.json holds what PEFT itself answers.
TEST(PeftConfigTest, PatternsMatchAsPeftMatches) {
  std::ifstream in(LAMELLA_SOURCE_DIR "/tests/golden/peft_patterns.json");
  std::stringstream text;
  text << in.rdbuf();
  const auto golden = ParseStrictJson(text.str());
  ASSERT_TRUE(IsOk(golden));
  int compared = 0;
  for (const JsonValue& row : *golden->GetArray("cases").value()) {
    std::vector<PeftPatterns::Entry> entries;
    for (const JsonValue& key : *row.GetArray("keys").value()) {
      entries.push_back({*key.AsString(), static_cast<double>(entries.size())});
    }
    const auto patterns = PeftPatterns::Compile("rank_pattern", entries, {});
    ASSERT_TRUE(IsOk(patterns)) << entries.front().key;
    for (const JsonMember& expected : *row.GetObject("match").value()) {
      EXPECT_EQ(patterns->Match(expected.key).value_or(-1), *expected.value.AsInt())
          << entries.front().key << " on " << expected.key;
      ++compared;
    }
  }
  EXPECT_GE(compared, 300);
}

TEST(PeftConfigTest, PatternsThatRe2RejectsAreRefused) {
  for (const char* pattern : {R"((?=q)q_proj)", R"((q)\\1)", "(", "[", "q_proj++", R"(\\Z)"}) {
    EXPECT_TRUE(IsInvalid(With(absl::StrCat(R"("rank_pattern":{")", pattern, R"(":4})")),
                          reasons::kInvalidPattern, "rank_pattern"))
        << pattern;
  }
}

TEST(PeftConfigTest, PatternLimitsHold) {
  const std::string long_key(513, 'q');
  EXPECT_TRUE(IsInvalid(With(absl::StrCat(R"("alpha_pattern":{")", long_key, R"(":4})")),
                        reasons::kLimitExceeded, "alpha_pattern", "one has 513"));
  EXPECT_TRUE(
      IsInvalid(With(R"("alpha_pattern":{"":4})"), reasons::kLimitExceeded, "alpha_pattern"));
  EXPECT_TRUE(IsInvalid(With(R"("alpha_pattern":{"((a{1,90}){1,90}){1,90}":4})"),
                        reasons::kInvalidPattern, "alpha_pattern"));
  EXPECT_TRUE(IsInvalid(With(R"("alpha_pattern":{"(\\pL{1,30}){1,30}":4})"),
                        reasons::kLimitExceeded, "alpha_pattern", "too large"));
  std::string many;
  for (int i = 0; i < 1025; ++i) absl::StrAppend(&many, i == 0 ? "" : ",", "\"k", i, "\":1");
  EXPECT_TRUE(IsInvalid(With(absl::StrCat("\"rank_pattern\":{", many, "}")),
                        reasons::kLimitExceeded, "rank_pattern", "more than 1024 patterns"));
  std::string heavy;
  for (int i = 0; i < 200; ++i) {
    absl::StrAppend(&heavy, i == 0 ? "" : ",", "\"(abc|", i, "){1,99}\":1");
  }
  EXPECT_TRUE(IsInvalid(With(absl::StrCat("\"rank_pattern\":{", heavy, "}")),
                        reasons::kLimitExceeded, "rank_pattern", "instructions"));
}

TEST(PeftConfigTest, ValuesOutOfRangeAreRefused) {
  for (const char* r : {"0", "-1", "65537", "8.5", "\"8\"", "true", "[8]", "1e2"}) {
    EXPECT_TRUE(IsInvalid(With(absl::StrCat("\"r\":", r)), reasons::kInvalidConfigValue, "r")) << r;
  }
  for (const char* alpha : {"\"16\"", "[]", "true"}) {
    EXPECT_TRUE(IsInvalid(With(absl::StrCat("\"lora_alpha\":", alpha)),
                          reasons::kInvalidConfigValue, "lora_alpha"))
        << alpha;
  }
  for (const char* alpha : {"1e999", "NaN", "Infinity"}) {
    EXPECT_TRUE(IsInvalid(With(absl::StrCat("\"lora_alpha\":", alpha)), reasons::kMalformedJson));
  }
  for (const char* pattern : {R"({"q":0})", R"({"q":1.5})", R"({"q":"4"})", R"(["q"])"}) {
    EXPECT_TRUE(IsInvalid(With(absl::StrCat("\"rank_pattern\":", pattern)),
                          reasons::kInvalidConfigValue, "rank_pattern"))
        << pattern;
  }
  EXPECT_TRUE(IsInvalid(With(R"("use_rslora":"yes")"), reasons::kInvalidConfigValue, "use_rslora"));
}

TEST(PeftConfigTest, PeftTypeMustBeLora) {
  EXPECT_TRUE(IsUnsupported(ParsePeftConfig(R"({"peft_type":"IA3"})"), "peft_type"));
  EXPECT_TRUE(IsInvalid(ParsePeftConfig("{}"), reasons::kInvalidConfigValue, "peft_type"));
  EXPECT_TRUE(
      IsInvalid(ParsePeftConfig(R"({"peft_type":1})"), reasons::kInvalidConfigValue, "peft_type"));
}

TEST(PeftConfigTest, TaskTypeMustBeCausalOrNull) {
  EXPECT_TRUE(IsOk(With(R"("task_type":null)")));
  for (const char* task : {"SEQ_CLS", "TOKEN_CLS", "FEATURE_EXTRACTION", "SEQ_2_SEQ_LM"}) {
    EXPECT_TRUE(IsUnsupported(With(absl::StrCat(R"("task_type":")", task, "\"")), "task_type"))
        << task;
  }
  EXPECT_TRUE(IsInvalid(With(R"("task_type":3)"), reasons::kInvalidConfigValue, "task_type"));
}

TEST(PeftConfigTest, BiasMustBeNone) {
  EXPECT_TRUE(IsOk(With(R"("bias":"none")")));
  EXPECT_TRUE(IsUnsupported(With(R"("bias":"all")"), "bias"));
  EXPECT_TRUE(IsUnsupported(With(R"("bias":"lora_only")"), "bias"));
  EXPECT_TRUE(IsInvalid(With(R"("bias":"some")"), reasons::kInvalidConfigValue, "bias"));
}

// One row for each refused feature: the key, a value that turns it on, one that does not.
struct Feature {
  const char* key;
  const char* set;
  const char* unset;
};

TEST(PeftConfigTest, FeaturesThatAreNotHereAreRefusedByName) {
  const std::vector<Feature> features = {
      {"fan_in_fan_out", "true", "false"},
      {"lora_bias", "true", "false"},
      {"modules_to_save", R"(["lm_head"])", "[]"},
      {"use_dora", "true", "false"},
      {"trainable_token_indices", "[1,2]", "null"},
      {"trainable_token_indices", R"({"embed_tokens":[1]})", "{}"},
      {"alora_invocation_tokens", "[5]", "null"},
      {"alora_invocation_tokens", "[]", "null"},
      {"kasa_config", R"({"beta":1})", "null"},
      {"arrow_config", R"({"top_k":2})", "{}"},
      {"use_bdlora", R"({"n":1})", "null"},
      {"monteclora_config", R"({"n":1})", "null"},
      {"use_qalora", "true", "false"},
      {"layer_replication", "[[0,4],[2,5]]", "null"},
      {"target_parameters", R"(["mlp.experts.gate_up_proj"])", "[]"},
      {"megatron_config", R"({"a":1})", "null"},
  };
  for (const Feature& feature : features) {
    const std::string key = absl::StrCat("\"", feature.key, "\":");
    EXPECT_TRUE(IsUnsupported(With(key + feature.set), feature.key)) << feature.key;
    EXPECT_TRUE(IsOk(With(key + feature.unset))) << feature.key;
  }
}

TEST(PeftConfigTest, StartsThatChangedTheBaseAreRefusedWithAHint) {
  for (const char* init :
       {"pissa", "pissa_niter_16", "olora", "OLoRA", "corda", "loftq", "mica", "kasa"}) {
    const auto config = With(absl::StrCat(R"("init_lora_weights":")", init, "\""));
    EXPECT_TRUE(IsUnsupported(config, "init_lora_weights")) << init;
    EXPECT_NE(std::string(config.status().message()).find("convert"), std::string::npos);
  }
  for (const char* init :
       {"true", "false", "null", R"("gaussian")", R"("eva")", R"("orthogonal")", R"("lora_ga")"}) {
    EXPECT_TRUE(IsOk(With(absl::StrCat(R"("init_lora_weights":)", init)))) << init;
  }
  for (const char* init : {R"("other")", "7", "[]"}) {
    EXPECT_TRUE(IsInvalid(With(absl::StrCat(R"("init_lora_weights":)", init)),
                          reasons::kInvalidConfigValue, "init_lora_weights"))
        << init;
  }
}

TEST(PeftConfigTest, KeysThatOnlySteeredTrainingAreIgnored) {
  const char* const members[] = {R"("target_modules":["q_proj","v_proj"])",
                                 R"("target_modules":".*(a+)+$")",
                                 R"("exclude_modules":["k_proj"])",
                                 R"("layers_to_transform":[0,1])",
                                 R"("layers_pattern":"layers")",
                                 R"("eva_config":{"rho":2.0})",
                                 R"("lora_ga_config":{"direction":"ArBr"})",
                                 R"("loftq_config":{"loftq_bits":4})",
                                 R"("corda_config":{"x":1})",
                                 R"("runtime_config":{"ephemeral":true})",
                                 R"("qalora_group_size":16)",
                                 R"("megatron_core":"megatron.core")",
                                 R"("velora_config":{"x":1})",
                                 R"("lora_dropout":0.5)",
                                 R"("inference_mode":false)",
                                 R"("peft_version":"0.21.2@abc")",
                                 R"("auto_mapping":{"base_model_class":"X"})",
                                 R"("ensure_weight_tying":true)"};
  const auto plain = With("");
  for (const char* member : members) {
    const auto config = With(member);
    ASSERT_TRUE(IsOk(config)) << member;
    EXPECT_EQ(config->Canonical(), plain->Canonical()) << member;
  }
}

TEST(PeftConfigTest, UnknownKeysMustBeEmpty) {
  for (const char* value : {"null", "false", "0", "\"\"", "[]", "{}"}) {
    EXPECT_TRUE(IsOk(With(absl::StrCat("\"use_newlora\":", value)))) << value;
  }
  for (const char* value : {"true", "1", "\"x\"", "[0]", R"({"a":null})"}) {
    EXPECT_TRUE(IsInvalid(With(absl::StrCat("\"use_newlora\":", value)), reasons::kUnknownConfigKey,
                          "use_newlora"))
        << value;
  }
}

TEST(PeftConfigTest, NamedFeatureWinsOverOtherFaults) {
  EXPECT_TRUE(
      IsUnsupported(With(R"("unknown":1,"r":0,"bias":"some","use_dora":true)"), "use_dora"));
}

TEST(PeftConfigTest, TextMustBeAStrictObject) {
  EXPECT_TRUE(IsInvalid(ParsePeftConfig("[]"), reasons::kMalformedJson));
  EXPECT_TRUE(IsInvalid(ParsePeftConfig(""), reasons::kMalformedJson));
  EXPECT_TRUE(IsInvalid(With(R"("r":8,"r":9)"), reasons::kDuplicateKey, "r"));
  EXPECT_TRUE(IsInvalid(With(R"("rank_pattern":{"q":1,"q":2})"), reasons::kDuplicateKey, "q"));
  EXPECT_TRUE(IsInvalid(ParsePeftConfig(std::string(300'000, ' ')), reasons::kLimitExceeded));
}

TEST(PeftConfigTest, CanonicalFormIsOneSpellingOfTheMathematics) {
  const auto config =
      With(R"("use_rslora":true,"lora_alpha":16.0,"alpha_pattern":{"z":1,"a\\.b":0.5},"r":4,)"
           R"("target_modules":["b","a"],"rank_pattern":{"q_proj":2})");
  ASSERT_TRUE(IsOk(config));
  EXPECT_EQ(config->Canonical(),
            R"({"alpha_pattern":[["z",1],["a\\.b",0.5]],"lora_alpha":16,"peft_type":"LORA","r":4,)"
            R"("rank_pattern":[["q_proj",2]],"use_rslora":true})");
  const auto reordered =
      With(R"("alpha_pattern":{"a\\.b":0.5,"z":1},"lora_alpha":16,"r":4,"use_rslora":true,)"
           R"("rank_pattern":{"q_proj":2})");
  EXPECT_NE(config->Canonical(), reordered->Canonical());  // the order of patterns matters
}

}  // namespace
}  // namespace lamella
