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
  event.mutable_finished()->set_finish_reason(v1::FINISH_REASON_LENGTH);
  event.mutable_finished()->mutable_usage()->set_generated_tokens(2);
  Fold(event, &answer);
  EXPECT_EQ(answer.adapter, "a");
  EXPECT_EQ(answer.text, "Hello");
  EXPECT_THAT(answer.token_ids, ElementsAre(1, 2));
  EXPECT_EQ(answer.finish_reason, "length");
  EXPECT_EQ(answer.generated_tokens, 2);
}

TEST(ConversionTest, ReadsErrorDetailsByTheirGoogleNames) {
  rpc::v1::Status details;
  rpc::v1::ErrorInfo info;
  info.set_reason("QUEUE_FULL");
  rpc::v1::BadRequest bad;
  bad.add_field_violations()->set_field("stop.max_tokens");
  for (const auto& [name, bytes] : {std::pair{"ErrorInfo", info.SerializeAsString()},
                                    std::pair{"BadRequest", bad.SerializeAsString()}}) {
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
}

}  // namespace
}  // namespace lamella::client
