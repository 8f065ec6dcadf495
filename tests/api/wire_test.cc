#include "server/api/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "common/base/error.h"
#include "lamella/v1/generation.pb.h"
#include "server/api/request_validator.h"

namespace lamella {
namespace {

using testing::HasSubstr;

grpc::ByteBuffer Bytes(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

void ExpectRefused(const std::string& bytes, const std::string& reason, const std::string& field) {
  v1::GenerateRequest request;
  const absl::Status status = ParseMessage(Bytes(bytes), &request);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(ErrorReason(status), reason) << status;
  EXPECT_EQ(ErrorField(status), field) << status;
}

TEST(WireTest, MessagesSurviveTheWire) {
  v1::GenerateRequest request;
  request.set_text("grün");
  request.mutable_stop()->add_strings("\n");
  v1::GenerateRequest parsed;
  ASSERT_TRUE(ParseMessage(SerializeMessage(request), &parsed).ok());
  EXPECT_EQ(parsed.SerializeAsString(), request.SerializeAsString());
}

TEST(WireTest, AnEmptyMessageIsAMessage) {
  v1::GetModelInfoRequest request;
  EXPECT_TRUE(ParseMessage(Bytes(""), &request).ok());
}

TEST(WireTest, BadUtf8NamesItsField) {
  v1::GenerateRequest request;
  request.set_text("abc\xff");
  ExpectRefused(request.SerializePartialAsString(), "INVALID_UTF8", "text");
  request.set_text("abc");
  request.mutable_stop()->add_strings("ok");
  request.mutable_stop()->add_strings("\xed\xa0\x80");  // a surrogate
  ExpectRefused(request.SerializePartialAsString(), "INVALID_UTF8", "stop.strings[1]");
}

TEST(WireTest, BadUtf8NamesItsOffset) {
  v1::GenerateRequest request;
  request.set_text("abc\xc0\x80");
  v1::GenerateRequest parsed;
  const absl::Status status = ParseMessage(Bytes(request.SerializePartialAsString()), &parsed);
  EXPECT_THAT(std::string(status.message()), HasSubstr("offset 3"));
}

TEST(WireTest, GarbageIsMalformed) {
  ExpectRefused("\x0a\xff\xff\xff\xff\xff", "MALFORMED_REQUEST", "");
  ExpectRefused("\x0f", "MALFORMED_REQUEST", "");
  v1::GenerateRequest request;
  EXPECT_EQ(ErrorReason(ParseMessage(grpc::ByteBuffer(), &request)), "MALFORMED_REQUEST");
}

// A poor man's fuzzer: whatever arrives, it is refused by name or becomes a request within limits.
TEST(WireTest, MutatedRequestsNeverCrash) {
  v1::GenerateRequest seed;
  seed.set_adapter_id("anna@live");
  seed.mutable_token_ids()->add_ids(3);
  seed.mutable_sampling()->set_temperature(0.5F);
  seed.mutable_stop()->add_strings("stop");
  seed.mutable_stop()->add_token_ids(9);
  const std::string bytes = seed.SerializeAsString();
  std::mt19937 random(17);
  ApiLimits limits;
  limits.max_prompt_tokens = 16;
  for (int round = 0; round < 20'000; ++round) {
    std::string mutated = bytes;
    for (uint32_t n = random() % 4; n < 4; ++n) {
      mutated[random() % mutated.size()] = static_cast<char>(random());
    }
    mutated.resize(random() % (mutated.size() + 1));
    v1::GenerateRequest request;
    const absl::Status parsed = ParseMessage(Bytes(mutated), &request);
    const auto native = ValidateGenerate(request, limits, 100);
    for (const absl::Status& status : {parsed, native.status()}) {
      ASSERT_NE(status.ok(), !ErrorReason(status).empty()) << status;
    }
  }
}

}  // namespace
}  // namespace lamella
