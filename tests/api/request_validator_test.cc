#include "server/api/request_validator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "common/base/error.h"

namespace lamella {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int32_t kVocab = 100;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

ApiLimits Limits() {
  ApiLimits limits;
  limits.max_prompt_tokens = 10;
  limits.max_tokenize_bytes = 20;
  limits.request = {.max_prompt_bytes = 20,
                    .max_stop_strings = 4,
                    .max_stop_string_bytes = 8,
                    .max_stop_token_ids = 3,
                    .max_n = 4,
                    .max_logit_bias = 3,
                    .max_logprobs = 5,
                    .max_prompt_logprobs = 2,
                    .max_cache_salt_bytes = 6};
  return limits;
}

v1::GenerateRequest Valid() {
  v1::GenerateRequest request;
  request.set_text("hello");
  return request;
}

void ExpectInvalid(const absl::Status& status, const std::string& reason, const std::string& field,
                   const std::string& part = "") {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorReason(status), reason) << status;
  EXPECT_EQ(ErrorField(status), field) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(part));
}

void ExpectRefused(const v1::GenerateRequest& request, const std::string& reason,
                   const std::string& field, const std::string& part = "") {
  ExpectInvalid(ValidateGenerate(request, Limits(), kVocab).status(), reason, field, part);
}

TEST(RequestValidatorTest, AbsentFieldsKeepTheirDefaults) {
  const auto request = ValidateGenerate(Valid(), Limits(), kVocab);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->prompt_text, "hello");
  EXPECT_TRUE(request->prompt_is_text);
  EXPECT_FALSE(request->parse_special_tokens);
  EXPECT_TRUE(request->sampling.greedy());
  EXPECT_FALSE(request->sampling.has_seed);
  EXPECT_EQ(request->sampling.top_p, 1.0F);
  EXPECT_EQ(request->stop.max_tokens, 16);
  EXPECT_EQ(request->sampling.min_p, 0.0F);
  EXPECT_FALSE(request->sampling.has_penalties());
  EXPECT_TRUE(request->sampling.logit_bias.empty());
  EXPECT_EQ(request->n, 1);
  EXPECT_EQ(request->stop.min_tokens, 0);
  EXPECT_EQ(request->logprobs.generated, -1);
  EXPECT_EQ(request->logprobs.prompt, -1);
  EXPECT_EQ(request->priority, Priority::kNormal);
}

TEST(RequestValidatorTest, EveryFieldArrives) {
  v1::GenerateRequest wire = Valid();
  wire.set_adapter_id("anna@live");
  wire.set_parse_special_tokens(true);
  wire.mutable_sampling()->set_temperature(0.5F);
  wire.mutable_sampling()->set_top_k(3);
  wire.mutable_sampling()->set_top_p(0.9F);
  wire.mutable_sampling()->set_seed(0);
  wire.mutable_sampling()->set_min_p(0.1F);
  wire.mutable_sampling()->set_repetition_penalty(1.2F);
  wire.mutable_sampling()->set_presence_penalty(-0.5F);
  wire.mutable_sampling()->set_frequency_penalty(2.0F);
  wire.mutable_sampling()->set_n(4);
  for (const int32_t id : {9, 3}) {
    wire.mutable_sampling()->add_logit_bias()->set_token_id(id);
    wire.mutable_sampling()->mutable_logit_bias()->rbegin()->set_bias(static_cast<float>(-id));
  }
  wire.mutable_output()->set_logprobs(0);
  wire.mutable_output()->set_prompt_logprobs(2);
  wire.set_priority(v1::PRIORITY_HIGH);
  wire.set_cache_salt("salt");
  wire.mutable_stop()->set_min_tokens(7);
  wire.mutable_stop()->set_max_tokens(7);
  wire.mutable_stop()->add_strings("\n");
  wire.mutable_stop()->add_token_ids(99);
  wire.mutable_stop()->set_ignore_eos(true);
  wire.mutable_stop()->set_include_stop(true);
  const auto request = ValidateGenerate(wire, Limits(), kVocab);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->adapter_id, "anna@live");
  EXPECT_TRUE(request->parse_special_tokens);
  EXPECT_EQ(request->sampling.temperature, 0.5F);
  EXPECT_EQ(request->sampling.top_k, 3);
  EXPECT_EQ(request->sampling.top_p, 0.9F);
  EXPECT_TRUE(request->sampling.has_seed);
  EXPECT_EQ(request->sampling.min_p, 0.1F);
  EXPECT_EQ(request->sampling.repetition_penalty, 1.2F);
  EXPECT_EQ(request->sampling.presence_penalty, -0.5F);
  EXPECT_EQ(request->sampling.frequency_penalty, 2.0F);
  EXPECT_EQ(request->n, 4);
  ASSERT_EQ(request->sampling.logit_bias.size(), 2U);
  EXPECT_EQ(request->sampling.logit_bias[0].token_id, 3);  // sorted
  EXPECT_EQ(request->sampling.logit_bias[0].bias, -3.0F);
  EXPECT_EQ(request->sampling.logit_bias[1].token_id, 9);
  EXPECT_EQ(request->logprobs.generated, 0);
  EXPECT_EQ(request->logprobs.prompt, 2);
  EXPECT_EQ(request->priority, Priority::kHigh);
  EXPECT_EQ(request->cache_salt, "salt");
  EXPECT_EQ(request->stop.min_tokens, 7);
  EXPECT_EQ(request->stop.max_tokens, 7);
  EXPECT_THAT(request->stop.stop_strings, ElementsAre("\n"));
  EXPECT_THAT(request->stop.stop_token_ids, ElementsAre(99));
  EXPECT_TRUE(request->stop.ignore_eos);
  EXPECT_TRUE(request->stop.include_stop_string);
}

TEST(RequestValidatorTest, PromptIsThereAndBounded) {
  ExpectRefused({}, "EMPTY_PROMPT", "prompt");
  v1::GenerateRequest request;
  request.set_text("");
  ExpectRefused(request, "EMPTY_PROMPT", "text");
  request.mutable_token_ids();
  ExpectRefused(request, "EMPTY_PROMPT", "token_ids.ids");
  request.set_text(std::string(21, 'x'));
  ExpectRefused(request, "PROMPT_TOO_LONG", "text", "at most 20 bytes, got 21");
  for (int i = 0; i < 11; ++i) request.mutable_token_ids()->add_ids(1);
  ExpectRefused(request, "PROMPT_TOO_LONG", "token_ids.ids", "at most 10 tokens, got 11");
}

TEST(RequestValidatorTest, TokenIdsAreInTheVocabulary) {
  for (const int32_t bad : {-1, kVocab, std::numeric_limits<int32_t>::max()}) {
    v1::GenerateRequest request;
    request.mutable_token_ids()->add_ids(99);
    request.mutable_token_ids()->add_ids(bad);
    ExpectRefused(request, "INVALID_TOKEN_ID", "token_ids.ids[1]", "[0, 100)");
    request = Valid();
    request.mutable_stop()->add_token_ids(bad);
    ExpectRefused(request, "INVALID_TOKEN_ID", "stop.token_ids[0]", std::to_string(bad));
  }
}

TEST(RequestValidatorTest, SamplingIsInRange) {
  for (const float bad : {kNan, -kNan, kInf, -kInf, -0.1F, 100.5F}) {
    v1::GenerateRequest request = Valid();
    request.mutable_sampling()->set_temperature(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "sampling.temperature", "[0, 100]");
  }
  for (const float bad : {kNan, kInf, 0.0F, -0.5F, 1.0001F}) {
    v1::GenerateRequest request = Valid();
    request.mutable_sampling()->set_top_p(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "sampling.top_p", "(0, 1]");
  }
  v1::GenerateRequest request = Valid();
  request.mutable_sampling()->set_top_k(-1);
  ExpectRefused(request, "OUT_OF_RANGE", "sampling.top_k", "got -1");
}

TEST(RequestValidatorTest, MinPIsAShare) {
  for (const float bad : {kNan, kInf, 1.0F, -0.01F}) {
    v1::GenerateRequest request = Valid();
    request.mutable_sampling()->set_min_p(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "sampling.min_p", "must be in [0, 1)");
  }
}

TEST(RequestValidatorTest, PenaltiesAreInRange) {
  for (const float bad : {kNan, kInf, 0.0F, -1.0F, 10.1F}) {
    v1::GenerateRequest request = Valid();
    request.mutable_sampling()->set_repetition_penalty(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "sampling.repetition_penalty", "must be in (0, 10]");
  }
  for (const float bad : {kNan, kInf, -kInf, 2.1F, -2.1F}) {
    v1::GenerateRequest request = Valid();
    request.mutable_sampling()->set_presence_penalty(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "sampling.presence_penalty", "must be in [-2, 2]");
    request = Valid();
    request.mutable_sampling()->set_frequency_penalty(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "sampling.frequency_penalty", "must be in [-2, 2]");
  }
}

TEST(RequestValidatorTest, LogitBiasIsBoundedNamedAndUnique) {
  v1::GenerateRequest request = Valid();
  v1::SamplingOptions* const sampling = request.mutable_sampling();
  for (int i = 0; i < 1000; ++i) sampling->add_logit_bias()->set_token_id(-1);
  ExpectRefused(request, "TOO_MANY", "sampling.logit_bias", "at most 3, got 1000");
  sampling->mutable_logit_bias()->DeleteSubrange(2, 998);
  sampling->mutable_logit_bias(0)->set_token_id(5);
  ExpectRefused(request, "INVALID_TOKEN_ID", "sampling.logit_bias[1].token_id",
                "must be in [0, 100), got -1");
  sampling->mutable_logit_bias(1)->set_token_id(5);
  ExpectRefused(request, "DUPLICATE_KEY", "sampling.logit_bias", "names token 5 twice");
  for (const float bad : {kNan, kInf, -kInf, 100.5F, -101.0F}) {
    sampling->mutable_logit_bias(1)->set_bias(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "sampling.logit_bias[1].bias", "must be in [-100, 100]");
  }
}

TEST(RequestValidatorTest, CountsOfAnswersAndAlternativesAreBounded) {
  for (const int32_t bad : {0, -1, 5, std::numeric_limits<int32_t>::max()}) {
    v1::GenerateRequest request = Valid();
    request.mutable_sampling()->set_n(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "sampling.n", "must be in [1, 4], got ");
  }
  for (const int32_t bad : {-1, 6, std::numeric_limits<int32_t>::min()}) {
    v1::GenerateRequest request = Valid();
    request.mutable_output()->set_logprobs(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "output.logprobs", "must be in [0, 5], got ");
    request = Valid();
    request.mutable_output()->set_prompt_logprobs(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "output.prompt_logprobs", "must be in [0, 2], got ");
  }
}

TEST(RequestValidatorTest, MinTokensIsNotAboveMaxTokens) {
  for (const int32_t bad : {-1, 8}) {
    v1::GenerateRequest request = Valid();
    request.mutable_stop()->set_max_tokens(7);
    request.mutable_stop()->set_min_tokens(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "stop.min_tokens", "must be in [0, 7], got ");
  }
}

TEST(RequestValidatorTest, CacheSaltIsBounded) {
  v1::GenerateRequest request = Valid();
  request.set_cache_salt("1234567");
  ExpectRefused(request, "OUT_OF_RANGE", "cache_salt", "at most 6 bytes, got 7");
}

TEST(RequestValidatorTest, APriorityOfALaterVersionIsNormal) {
  v1::GenerateRequest request = Valid();
  request.set_priority(static_cast<v1::Priority>(99));
  EXPECT_EQ(ValidateGenerate(request, Limits(), kVocab)->priority, Priority::kNormal);
  request.set_priority(v1::PRIORITY_LOW);
  EXPECT_EQ(ValidateGenerate(request, Limits(), kVocab)->priority, Priority::kLow);
}

TEST(RequestValidatorTest, MaxTokensIsPositive) {
  for (const int32_t bad : {0, -1, std::numeric_limits<int32_t>::min()}) {
    v1::GenerateRequest request = Valid();
    request.mutable_stop()->set_max_tokens(bad);
    ExpectRefused(request, "OUT_OF_RANGE", "stop.max_tokens", std::to_string(bad));
  }
}

TEST(RequestValidatorTest, StopListsAreBounded) {
  v1::GenerateRequest request = Valid();
  for (int i = 0; i < 1000; ++i) request.mutable_stop()->add_strings("x");
  ExpectRefused(request, "TOO_MANY", "stop.strings", "at most 4, got 1000");
  request = Valid();
  request.mutable_stop()->add_strings("x");
  request.mutable_stop()->add_strings("");
  ExpectRefused(request, "OUT_OF_RANGE", "stop.strings[1]", "got 0");
  request.mutable_stop()->set_strings(1, std::string(9, 'x'));
  ExpectRefused(request, "OUT_OF_RANGE", "stop.strings[1]", "1 to 8 bytes, got 9");
  request = Valid();
  for (int i = 0; i < 4; ++i) request.mutable_stop()->add_token_ids(1);
  ExpectRefused(request, "TOO_MANY", "stop.token_ids", "at most 3, got 4");
}

TEST(RequestValidatorTest, AdapterIdIsBounded) {
  v1::GenerateRequest request = Valid();
  request.set_adapter_id(std::string(257, 'a'));
  ExpectRefused(request, "INVALID_ADAPTER_ID", "adapter_id", "got 257");
}

TEST(RequestValidatorTest, RequestIdTravelsInMetadata) {
  EXPECT_TRUE(ValidateRequestId("").ok());
  EXPECT_TRUE(ValidateRequestId("job-1/step:2~").ok());
  ExpectInvalid(ValidateRequestId(std::string(129, 'a')), "OUT_OF_RANGE", "request_id");
  for (const char* bad : {"a b", "a\nb", "\xc3\xa4", "a\x7f"}) {
    ExpectInvalid(ValidateRequestId(bad), "OUT_OF_RANGE", "request_id", "visible ASCII");
  }
}

TEST(RequestValidatorTest, TextsAreBoundedTogether) {
  v1::TokenizeRequest request;
  request.add_texts(std::string(15, 'x'));
  EXPECT_TRUE(ValidateTokenize(request, Limits()).ok());
  request.add_texts(std::string(6, 'x'));
  ExpectInvalid(ValidateTokenize(request, Limits()), "PROMPT_TOO_LONG", "texts", "got 21");
  request.clear_texts();
  for (int i = 0; i < 257; ++i) request.add_texts("");
  ExpectInvalid(ValidateTokenize(request, Limits()), "TOO_MANY", "texts", "got 257");
}

TEST(RequestValidatorTest, DetokenizeIdsAreChecked) {
  v1::DetokenizeRequest request;
  request.add_sequences()->add_ids(1);
  request.add_sequences()->add_ids(kVocab);
  ExpectInvalid(ValidateDetokenize(request, Limits(), kVocab), "INVALID_TOKEN_ID",
                "sequences[1].ids[0]");
  ApiLimits limits = Limits();
  limits.max_detokenize_tokens = 1;
  request.mutable_sequences(1)->set_ids(0, 1);
  ExpectInvalid(ValidateDetokenize(request, limits, kVocab), "TOO_MANY", "sequences", "got 2");
}

TEST(RequestValidatorTest, PagesAreBounded) {
  v1::ListUsableAdaptersRequest request;
  request.set_page_size(-1);
  ExpectInvalid(ValidateListUsableAdapters(request), "OUT_OF_RANGE", "page_size");
  request.set_page_size(1);
  request.set_page_token(std::string(257, 'a'));
  ExpectInvalid(ValidateListUsableAdapters(request), "OUT_OF_RANGE", "page_token");
}

}  // namespace
}  // namespace lamella
