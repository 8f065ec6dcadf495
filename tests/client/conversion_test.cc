#include "client/conversion.h"

#include "common/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lamella/rpc/v1/error_details.pb.h"

namespace lamella::client {
namespace {

using ::testing::ElementsAre;

TEST(ConversionTest, WhatIsNotSetIsLeftToTheServer) {
  const v1::GenerateRequest request = ToProto(GenerateOptions{.prompt = "p"});
  EXPECT_EQ(request.text(), "p");
  EXPECT_FALSE(request.sampling().has_temperature());
  EXPECT_FALSE(request.sampling().has_seed());
  EXPECT_FALSE(request.stop().has_max_tokens());
}

TEST(ConversionTest, ZeroIsAValueNotAnAbsence) {
  const v1::GenerateRequest request =
      ToProto(GenerateOptions{.max_tokens = 0, .temperature = 0.0f, .seed = 0});
  EXPECT_TRUE(request.sampling().has_temperature());
  EXPECT_TRUE(request.sampling().has_seed());
  EXPECT_TRUE(request.stop().has_max_tokens());
}

TEST(ConversionTest, FoldsAStreamIntoOneAnswer) {
  Answer answer;
  v1::GenerateResponse event;
  event.mutable_started()->set_adapter("a");
  EXPECT_EQ(Fold(event, &answer), "");
  event.mutable_delta()->set_text("Hel");
  event.mutable_delta()->add_token_ids(1);
  EXPECT_EQ(Fold(event, &answer), "Hel");
  event.mutable_delta()->set_text("lo");
  event.mutable_delta()->set_token_ids(0, 2);
  EXPECT_EQ(Fold(event, &answer), "lo");
  event.mutable_finished()->add_choices()->set_finish_reason(v1::FINISH_REASON_LENGTH);
  event.mutable_finished()->mutable_usage()->set_generated_tokens(2);
  Fold(event, &answer);
  EXPECT_EQ(answer.adapter, "a");
  EXPECT_EQ(answer.text, "Hello");
  EXPECT_THAT(answer.token_ids, ElementsAre(1, 2));
  EXPECT_EQ(answer.finish_reason, "length");
  EXPECT_EQ(answer.generated_tokens, 2);
}

TEST(ConversionTest, ChoicesAreFoldedApart) {
  Answer answer;
  v1::GenerateResponse event;
  for (const auto& [choice, text] : {std::pair{1, "A"}, {0, "a"}, {1, "B"}}) {
    event.mutable_delta()->set_choice_index(choice);
    event.mutable_delta()->set_text(text);
    EXPECT_EQ(Fold(event, &answer), text);
  }
  for (const int32_t index : {0, 1}) {
    v1::Choice* const choice = event.mutable_finished()->add_choices();
    choice->set_index(index);
    choice->set_finish_reason(index == 0 ? v1::FINISH_REASON_LENGTH : v1::FINISH_REASON_STOP_TOKEN);
  }
  Fold(event, &answer);
  EXPECT_EQ(answer.text, "a");
  EXPECT_EQ(answer.finish_reason, "length");
  ASSERT_EQ(answer.more_choices.size(), 1u);
  EXPECT_EQ(answer.more_choices[0].text, "AB");
  EXPECT_EQ(answer.more_choices[0].finish_reason, "stop_token");
}

TEST(ConversionTest, AChoiceThatNoServerWouldSendIsDropped) {
  Answer answer;
  v1::GenerateResponse event;
  event.mutable_delta()->set_text("x");
  for (const int32_t index : {-1, 1024, 2147483647}) {
    event.mutable_delta()->set_choice_index(index);
    EXPECT_EQ(Fold(event, &answer), "");
  }
  EXPECT_TRUE(answer.more_choices.empty());
}

TEST(ConversionTest, LogprobsArriveWithTheirTokens) {
  Answer answer;
  v1::GenerateResponse event;
  v1::TokenLogprobs told;
  told.set_token_id(5);
  told.set_logprob(-0.5f);
  told.add_top()->set_token_id(6);
  *event.mutable_started()->add_prompt_logprobs() = told;
  Fold(event, &answer);
  *event.mutable_delta()->add_logprobs() = told;
  Fold(event, &answer);
  Fold(event, &answer);
  for (const auto* list : {&answer.prompt_logprobs, &answer.logprobs}) {
    ASSERT_FALSE(list->empty());
    EXPECT_EQ(list->back().token.token_id, 5);
    EXPECT_EQ(list->back().token.logprob, -0.5f);
    ASSERT_EQ(list->back().top.size(), 1u);
    EXPECT_EQ(list->back().top[0].token_id, 6);
  }
  EXPECT_EQ(answer.logprobs.size(), 2u);
}

TEST(ConversionTest, EveryOptionIsSent) {
  GenerateOptions options;
  options.min_p = 0.1f;
  options.repetition_penalty = 1.5f;
  options.presence_penalty = -1.0f;
  options.frequency_penalty = 0.25f;
  options.logit_bias = {{7, -100.0f}};
  options.n = 3;
  options.min_tokens = 4;
  options.logprobs = 0;
  options.prompt_logprobs = 2;
  options.priority = Priority::kLow;
  options.cache_salt = "s";
  const v1::GenerateRequest request = ToProto(options);
  EXPECT_EQ(request.sampling().min_p(), 0.1f);
  EXPECT_EQ(request.sampling().repetition_penalty(), 1.5f);
  EXPECT_EQ(request.sampling().presence_penalty(), -1.0f);
  EXPECT_EQ(request.sampling().frequency_penalty(), 0.25f);
  ASSERT_EQ(request.sampling().logit_bias_size(), 1);
  EXPECT_EQ(request.sampling().logit_bias(0).token_id(), 7);
  EXPECT_EQ(request.sampling().logit_bias(0).bias(), -100.0f);
  EXPECT_EQ(request.sampling().n(), 3);
  EXPECT_EQ(request.stop().min_tokens(), 4);
  EXPECT_TRUE(request.output().has_logprobs());
  EXPECT_EQ(request.output().prompt_logprobs(), 2);
  EXPECT_EQ(request.priority(), v1::PRIORITY_LOW);
  EXPECT_EQ(request.cache_salt(), "s");
}

TEST(ConversionTest, AnAnswerSaysWhatEndedIt) {
  Answer answer;
  v1::GenerateResponse event;
  v1::Choice* const first = event.mutable_finished()->add_choices();
  first->set_finish_reason(v1::FINISH_REASON_STOP_STRING);
  first->set_stop_string("\n");
  v1::Choice* const second = event.mutable_finished()->add_choices();
  second->set_index(1);
  second->set_finish_reason(v1::FINISH_REASON_STOP_TOKEN);
  second->set_stop_token_id(0);
  Fold(event, &answer);
  EXPECT_EQ(answer.stop_string, "\n");
  EXPECT_EQ(answer.stop_token_id, std::nullopt);
  ASSERT_EQ(answer.more_choices.size(), 1U);
  EXPECT_EQ(answer.more_choices[0].stop_string, "");
  EXPECT_EQ(answer.more_choices[0].stop_token_id, 0);
}

TEST(ConversionTest, ModelInfoHasWhatTheServerTold) {
  v1::GetModelInfoResponse response;
  response.set_model("tiny");
  response.set_server_version("1.2.3");
  response.add_eos_token_ids(7);
  response.add_features("n");
  response.mutable_limits()->set_max_n(16);
  response.mutable_limits()->set_max_cache_salt_bytes(128);
  response.mutable_caller_limits()->set_weight(2.5);
  response.mutable_caller_limits()->set_tokens_per_minute(9000);
  response.mutable_caller_limits()->set_in_flight(3);
  const ModelInfo info = ToModelInfo(response);
  EXPECT_EQ(info.model, "tiny");
  EXPECT_EQ(info.server_version, "1.2.3");
  EXPECT_THAT(info.eos_token_ids, ElementsAre(7));
  EXPECT_THAT(info.features, ElementsAre("n"));
  EXPECT_EQ(info.limits.max_n, 16);
  EXPECT_EQ(info.limits.max_cache_salt_bytes, 128);
  EXPECT_EQ(info.caller_limits.weight, 2.5);
  EXPECT_EQ(info.caller_limits.tokens_per_minute, 9000);
  EXPECT_EQ(info.caller_limits.in_flight, 3);
}

TEST(ConversionTest, ReadsErrorDetailsByTheirGoogleNames) {
  rpc::v1::Status details;
  rpc::v1::ErrorInfo info;
  info.set_reason("QUEUE_FULL");
  rpc::v1::BadRequest bad;
  bad.add_field_violations()->set_field("stop.max_tokens");
  rpc::v1::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(3);
  for (const auto& [name, bytes] : {std::pair{"ErrorInfo", info.SerializeAsString()},
                                    std::pair{"BadRequest", bad.SerializeAsString()},
                                    std::pair{"RetryInfo", retry.SerializeAsString()}}) {
    google::protobuf::Any* any = details.add_details();
    any->set_type_url(std::string("type.googleapis.com/google.rpc.") + name);
    any->set_value(bytes);
  }
  const absl::Status status =
      FromGrpc(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "m", details.SerializeAsString()));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "m");
  EXPECT_EQ(ErrorReason(status), "QUEUE_FULL");
  EXPECT_EQ(ErrorField(status), "stop.max_tokens");
  EXPECT_EQ(ErrorRetryAfter(status), absl::Seconds(3));
}

}  // namespace
}  // namespace lamella::client
