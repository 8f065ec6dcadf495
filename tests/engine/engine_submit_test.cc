// What Submit refuses at once, and how: nothing is lost, nothing is queued.
#include <limits>

#include "common/base/error.h"
#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

class EngineSubmitTest : public EngineFixture {
 protected:
  // The request is refused with this field and reason, and leaves no trace.
  std::string ExpectRefused(Request request, std::string_view reason, std::string_view field) {
    const absl::Status status = Refusal(std::move(request));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ErrorReason(status), reason) << status;
    EXPECT_EQ(ErrorField(status), field) << status;
    EXPECT_EQ(engine().in_flight(), 0);
    EXPECT_EQ(engine().queued(), 0);
    return std::string(status.message());
  }
  static Request WithIds(std::vector<int32_t> ids) {
    Request request = MakeRequest("", 4);
    request.prompt_is_text = false;
    request.prompt_token_ids = std::move(ids);
    return request;
  }
  static bool Says(std::string_view message, std::string_view part) {
    return message.find(part) != std::string_view::npos;
  }
};

TEST_F(EngineSubmitTest, RefusesAnEmptyPrompt) {
  ExpectRefused(MakeRequest("", 4), "EMPTY_PROMPT", "text");
  ExpectRefused(WithIds({}), "EMPTY_PROMPT", "token_ids");
}

TEST_F(EngineSubmitTest, RefusesAPromptLongerThanTheContext) {
  const std::string message =
      ExpectRefused(MakeRequest(std::string(128, 'x'), 1), "PROMPT_TOO_LONG", "text");
  EXPECT_TRUE(Says(message, "may have 127 tokens, got 128")) << message;
  EXPECT_EQ(engine().max_prompt_tokens(), 127);
}

TEST_F(EngineSubmitTest, RefusesTooManyBytesBeforeTokenizing) {
  options_.limits.max_prompt_bytes = 10;
  // The tokenizer would refuse this one for another reason.
  const std::string message =
      ExpectRefused(MakeRequest(std::string(11, '\xFF'), 1), "PROMPT_TOO_LONG", "text");
  EXPECT_TRUE(Says(message, "may have 10 bytes, got 11")) << message;
}

TEST_F(EngineSubmitTest, RefusesTokensOutsideTheVocabulary) {
  ExpectRefused(WithIds({1, 512}), "INVALID_TOKEN_ID", "token_ids");
  ExpectRefused(WithIds({-1}), "INVALID_TOKEN_ID", "token_ids");
  Request request = MakeRequest("x", 4);
  request.stop.stop_token_ids = {512};
  ExpectRefused(request, "INVALID_TOKEN_ID", "stop.token_ids");
}

TEST_F(EngineSubmitTest, RefusesWhatTheTokenizerRefuses) {
  ExpectRefused(MakeRequest("\xFF", 4), "INVALID_UTF8", "text");
}

TEST_F(EngineSubmitTest, RefusesAnAnswerOfNothing) {
  ExpectRefused(MakeRequest("x", 0), "OUT_OF_RANGE", "stop.max_tokens");
  ExpectRefused(MakeRequest("x", -5), "OUT_OF_RANGE", "stop.max_tokens");
}

TEST_F(EngineSubmitTest, RefusesAThousandStopStrings) {
  Request request = MakeRequest("x", 4);
  request.stop.stop_strings.assign(1000, "s");
  const std::string message = ExpectRefused(request, "TOO_MANY", "stop.strings");
  EXPECT_TRUE(Says(message, "may hold 16, got 1000")) << message;
  request.stop.stop_strings.assign(1, "");
  ExpectRefused(request, "OUT_OF_RANGE", "stop.strings");
  request.stop.stop_strings.assign(1, std::string(257, 's'));
  ExpectRefused(request, "OUT_OF_RANGE", "stop.strings");
  request.stop.stop_strings.clear();
  request.stop.stop_token_ids.assign(65, 1);
  ExpectRefused(request, "TOO_MANY", "stop.token_ids");
}

TEST_F(EngineSubmitTest, RefusesSamplingThatMeansNothing) {
  Request request = MakeRequest("x", 4);
  request.sampling.temperature = std::numeric_limits<float>::quiet_NaN();
  ExpectRefused(request, "OUT_OF_RANGE", "sampling.temperature");
  request.sampling = {};
  request.sampling.top_p = 0;
  ExpectRefused(request, "OUT_OF_RANGE", "sampling.top_p");
  request.sampling = {};
  request.sampling.top_k = -1;
  ExpectRefused(request, "OUT_OF_RANGE", "sampling.top_k");
}

class EngineSmallCacheTest : public EngineFixture {
 protected:
  static ExecutorLimits TwoBlocks() {
    ExecutorLimits limits = PuppetExecutor::SmallLimits();
    limits.num_blocks = 2;
    return limits;
  }
  PuppetExecutor small_{TwoBlocks()};
};

TEST_F(EngineSmallCacheTest, RefusesWhatCanNeverFit) {
  const auto engine =
      Engine::Create(options_, {&small_, &tokenizer_, &catalogue_, &residency_, &clock_, nullptr});
  ASSERT_EQ(engine.status(), absl::OkStatus());
  const absl::Status status = (*engine)->Submit(MakeRequest("12345", 5)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), "CANNOT_FIT");
  EXPECT_NE(std::string(status.message()).find("need 3 blocks of the KV cache, it has 2"),
            std::string::npos)
      << status;
  EXPECT_EQ((*engine)->Submit(MakeRequest("12345", 4)).status(), absl::OkStatus());
}

TEST_F(EngineSubmitTest, UnknownAdapterIsNotFound) {
  catalogue_.SetLive("other", "a", "1");
  const absl::Status status = Refusal(MakeRequest("x", 4, "a"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorReason(status), "ADAPTER_NOT_FOUND");
  EXPECT_EQ(engine().in_flight(), 0);
}

TEST_F(EngineSubmitTest, PastDeadlineIsRefused) {
  Request request = MakeRequest("x", 4);
  request.deadline = clock_.Now();
  EXPECT_EQ(Refusal(request).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EngineSubmitTest, AFullQueueRefusesBeforeTokenizingAndSaysWhenToRetry) {
  options_.admission.max_queued = 2;
  Recorded first = Submit(MakeRequest("x", 4));
  Recorded second = Submit(MakeRequest("x", 4));
  const absl::Status status = Refusal(MakeRequest("\xFF", 4));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(status), "QUEUE_FULL");
  EXPECT_EQ(ErrorRetryAfter(status), absl::Seconds(1));
  EXPECT_TRUE(Says(std::string(status.message()), "holds 2 requests, its limit is 2")) << status;
  Step();  // both are in a step now
  EXPECT_EQ(engine().queued(), 0);
  Recorded third = Submit(MakeRequest("x", 4));
  ASSERT_TRUE(RunUntilIdle());
  third.Read();
  EXPECT_EQ(third.terminals, 1);
}

}  // namespace
}  // namespace lamella
