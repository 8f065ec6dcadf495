#include "server/api/generation_service.h"

#include <future>
#include <limits>
#include <thread>

#include "common/base/error.h"
#include "common/formats/digest.h"
#include "tests/api/api_fixture.h"

namespace lamella {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class GenerationServiceTest : public ApiTest {
 protected:
  // Runs a call while `answer` answers the request that it makes.
  Answer GenerateWith(const v1::GenerateRequest& request,
                      const std::function<void(Accepted*)>& answer) {
    auto call = std::async(std::launch::async, [&] { return Generate(request); });
    {
      Accepted accepted = sink_.Take();
      answer(&accepted);
    }
    return call.get();
  }

  static void AnswerWell(Accepted* accepted) {
    accepted->Start();
    accepted->Write("one ");
    accepted->Write("two");
    accepted->Finish();
  }

  // Two choices whose pieces mix, the second first.
  static void AnswerTwice(Accepted* accepted) {
    accepted->Start();
    for (const char* const piece : {"A", "a", "b", "B"}) {
      const std::vector<int32_t> ids = {*piece};
      accepted->writer.Write(*piece < 'a' ? 1 : 0, piece, ids);
    }
    StreamFinished finished;
    finished.choices = {{.reason = FinishReason::kLength},
                        {.reason = FinishReason::kStopToken, .matched_token_id = 256}};
    accepted->writer.Finish(finished);
  }
  static void ExpectTwoEnds(const v1::Finished& finished) {
    ASSERT_EQ(finished.choices_size(), 2);
    EXPECT_EQ(finished.choices(0).index(), 0);
    EXPECT_EQ(finished.choices(0).finish_reason(), v1::FINISH_REASON_LENGTH);
    EXPECT_EQ(finished.choices(0).matched_case(), v1::Choice::MATCHED_NOT_SET);
    EXPECT_EQ(finished.choices(1).index(), 1);
    EXPECT_EQ(finished.choices(1).finish_reason(), v1::FINISH_REASON_STOP_TOKEN);
    EXPECT_EQ(finished.choices(1).stop_token_id(), 256);
  }

  // Refused before the sink saw it, and counted.
  void ExpectRefused(const v1::GenerateRequest& request, const std::string& reason,
                     const std::string& field) {
    const Answer answer = Generate(request);
    ExpectError(answer.status, grpc::StatusCode::INVALID_ARGUMENT, reason, field);
    EXPECT_TRUE(answer.events.empty());
    EXPECT_EQ(answer.trailers.count("lamella-request-id"), 1U);
    EXPECT_TRUE(sink_.idle());
  }
};

TEST_F(GenerationServiceTest, StreamIsStartedDeltasAndOneFinished) {
  v1::GenerateRequest request = TextRequest();
  request.set_adapter_id("anna");
  request.set_request_id("my-id");
  request.mutable_output()->set_timings(true);
  const Answer answer = GenerateWith(request, AnswerWell);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  ASSERT_GE(answer.events.size(), 3U);
  const v1::Started& started = answer.events.front().started();
  EXPECT_EQ(started.request_id(), "my-id");
  EXPECT_EQ(started.adapter(), "anna");
  EXPECT_EQ(started.adapter_version(), std::string(64, 'a'));
  EXPECT_EQ(started.prompt_tokens(), 5);
  EXPECT_EQ(answer.text(), "one two");
  EXPECT_EQ(answer.finished(), 1);
  const v1::Finished& finished = answer.events.back().finished();
  ASSERT_EQ(finished.choices_size(), 1);
  EXPECT_EQ(finished.choices(0).finish_reason(), v1::FINISH_REASON_STOP_STRING);
  EXPECT_EQ(finished.choices(0).stop_string(), ".");
  EXPECT_EQ(finished.usage().generated_tokens(), 3);
  EXPECT_EQ(finished.timings().first_token().seconds(), 1);
  EXPECT_EQ(finished.timings().first_token().nanos(), 500'000'000);
  EXPECT_TRUE(finished.choices(0).text().empty());
  EXPECT_EQ(answer.trailers.find("lamella-request-id")->second, "my-id");
}

TEST_F(GenerationServiceTest, TokenIdsAndTimingsComeOnlyWhenAskedFor) {
  Answer answer = GenerateWith(TextRequest(), AnswerWell);
  for (const auto& event : answer.events) EXPECT_TRUE(event.delta().token_ids().empty());
  EXPECT_FALSE(answer.events.back().finished().has_timings());
  v1::GenerateRequest request = TextRequest();
  request.mutable_output()->set_token_ids(true);
  answer = GenerateWith(request, AnswerWell);
  std::string spelled;
  for (const auto& event : answer.events) {
    for (const int32_t id : event.delta().token_ids()) spelled += static_cast<char>(id);
  }
  EXPECT_EQ(spelled, "one two");
}

TEST_F(GenerationServiceTest, FinalOnlyIsOneMessage) {
  v1::GenerateRequest request = TextRequest();
  request.mutable_output()->set_final_only(true);
  request.mutable_output()->set_token_ids(true);
  const Answer answer = GenerateWith(request, AnswerWell);
  ASSERT_TRUE(answer.status.ok());
  ASSERT_EQ(answer.events.size(), 1U);
  const v1::Finished& finished = answer.events.front().finished();
  ASSERT_EQ(finished.choices_size(), 1);
  EXPECT_EQ(finished.choices(0).text(), "one two");
  EXPECT_EQ(finished.choices(0).token_ids_size(), 7);
  EXPECT_EQ(finished.started().prompt_tokens(), 5);
  EXPECT_EQ(finished.choices(0).finish_reason(), v1::FINISH_REASON_STOP_STRING);
}

TEST_F(GenerationServiceTest, ChoicesComeApartInOneStream) {
  const Answer answer = GenerateWith(TextRequest(), AnswerTwice);
  ASSERT_TRUE(answer.status.ok());
  std::map<int32_t, std::string> texts;
  for (const auto& event : answer.events) {
    if (event.has_delta()) texts[event.delta().choice_index()] += event.delta().text();
  }
  EXPECT_EQ(texts, (std::map<int32_t, std::string>{{0, "ab"}, {1, "AB"}}));
  EXPECT_EQ(answer.finished(), 1);
  ExpectTwoEnds(answer.events.back().finished());
}

TEST_F(GenerationServiceTest, FinalOnlyHoldsEveryChoiceWhole) {
  v1::GenerateRequest request = TextRequest();
  request.mutable_output()->set_final_only(true);
  request.mutable_output()->set_token_ids(true);
  const Answer answer = GenerateWith(request, AnswerTwice);
  ASSERT_EQ(answer.events.size(), 1U);
  const v1::Finished& finished = answer.events.front().finished();
  ExpectTwoEnds(finished);
  EXPECT_EQ(finished.choices(0).text(), "ab");
  EXPECT_THAT(finished.choices(0).token_ids(), ElementsAre('a', 'b'));
  EXPECT_EQ(finished.choices(1).text(), "AB");
  EXPECT_THAT(finished.choices(1).token_ids(), ElementsAre('A', 'B'));
}

TEST_F(GenerationServiceTest, RequestArrivesNativeAndWhole) {
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(3);
  request.mutable_sampling()->set_seed(11);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::hours(1));
  auto reader = stub_->Generate(&context, request);
  const Accepted accepted = sink_.Take();
  EXPECT_EQ(accepted.request.tenant, "default");
  EXPECT_THAT(accepted.request.prompt_token_ids, ElementsAre(3));
  EXPECT_FALSE(accepted.request.prompt_is_text);
  EXPECT_EQ(accepted.request.sampling.seed, 11U);
  EXPECT_EQ(accepted.request.request_id.size(), 16U);
  EXPECT_LE(accepted.request.deadline, absl::Now() + absl::Hours(1) + absl::Minutes(1));
  context.TryCancel();
  reader->Finish();
}

TEST_F(GenerationServiceTest, BadInputIsRefusedWithFieldAndReason) {
  const auto with = [](const std::function<void(v1::GenerateRequest*)>& change) {
    v1::GenerateRequest request = TextRequest();
    change(&request);
    return request;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  ExpectRefused({}, "EMPTY_PROMPT", "prompt");
  ExpectRefused(TextRequest(""), "EMPTY_PROMPT", "text");
  ExpectRefused(TextRequest(std::string((1 << 20) + 1, 'x')), "PROMPT_TOO_LONG", "text");
  ExpectRefused(TextRequest("ab\xff"), "INVALID_UTF8", "text");
  ExpectRefused(with([](auto* r) { r->mutable_stop()->set_max_tokens(0); }), "OUT_OF_RANGE",
                "stop.max_tokens");
  ExpectRefused(with([](auto* r) { r->mutable_stop()->set_max_tokens(-5); }), "OUT_OF_RANGE",
                "stop.max_tokens");
  ExpectRefused(with([&](auto* r) { r->mutable_sampling()->set_temperature(nan); }), "OUT_OF_RANGE",
                "sampling.temperature");
  ExpectRefused(with([](auto* r) { r->mutable_sampling()->set_top_p(0); }), "OUT_OF_RANGE",
                "sampling.top_p");
  ExpectRefused(with([](auto* r) {
                  for (int i = 0; i < 1000; ++i) r->mutable_stop()->add_strings("x");
                }),
                "TOO_MANY", "stop.strings");
  ExpectRefused(with([](auto* r) { r->mutable_token_ids()->add_ids(258); }), "INVALID_TOKEN_ID",
                "token_ids.ids[0]");
  ExpectRefused(with([](auto* r) { r->set_request_id("a b"); }), "OUT_OF_RANGE", "request_id");
  EXPECT_EQ(Rejected("out_of_range"), 5);
  EXPECT_EQ(Rejected("empty_prompt"), 2);
}

TEST_F(GenerationServiceTest, TheSinksRefusalIsTheAnswer) {
  sink_.RefuseWith(MakeRetryableError(absl::StatusCode::kResourceExhausted, reasons::kQueueFull,
                                      "the queue is full", absl::Seconds(3)));
  const Answer full = Generate(TextRequest());
  ExpectError(full.status, grpc::StatusCode::RESOURCE_EXHAUSTED, "QUEUE_FULL", "");
  EXPECT_EQ(DetailsOf(full.status).retry.retry_delay().seconds(), 3);
  EXPECT_EQ(Rejected("queue_full"), 1);
  sink_.RefuseWith(MakeError(absl::StatusCode::kNotFound, reasons::kAdapterNotFound, "adapter_id",
                             "adapter_id: no such adapter"));
  ExpectError(Generate(TextRequest()).status, grpc::StatusCode::NOT_FOUND, "ADAPTER_NOT_FOUND",
              "adapter_id");
}

TEST_F(GenerationServiceTest, AFailureAfterTextEndsTheStreamWithAStatus) {
  const Answer answer = GenerateWith(TextRequest(), [](Accepted* accepted) {
    accepted->Start();
    accepted->Write("one");
    accepted->writer.Fail(MakeError(absl::StatusCode::kInternal, reasons::kNonFiniteLogits, "",
                                    "the logits are not finite"));
  });
  EXPECT_EQ(answer.text(), "one");
  EXPECT_EQ(answer.finished(), 0);
  ExpectError(answer.status, grpc::StatusCode::INTERNAL, "NON_FINITE_LOGITS", "");
}

TEST_F(GenerationServiceTest, ASlowReaderIsCutOffAtItsBuffer) {
  sink_.SetBufferBytes(256 << 10);
  grpc::ClientContext context;
  auto reader = stub_->Generate(&context, TextRequest());
  Accepted accepted = sink_.Take();
  accepted.Start();
  // Nobody reads: first the transport's window fills up, then the stream's buffer.
  const std::string chunk(16 << 10, 'x');
  size_t written = 0;
  while (accepted.Write(chunk)) written += chunk.size();
  Answer answer;
  v1::GenerateResponse event;
  while (reader->Read(&event)) answer.events.push_back(event);
  answer.status = reader->Finish();
  ExpectError(answer.status, grpc::StatusCode::RESOURCE_EXHAUSTED, "SLOW_READER", "");
  EXPECT_EQ(answer.finished(), 0);
  EXPECT_LE(answer.text().size(), written);
}

TEST_F(GenerationServiceTest, ASlowReaderGetsFewerAndLargerDeltas) {
  grpc::ChannelArguments fixed_window;
  fixed_window.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto stub = v1::GenerationService::NewStub(
      grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), fixed_window));
  grpc::ClientContext context;
  auto reader = stub->Generate(&context, TextRequest());
  Accepted accepted = sink_.Take();
  accepted.Start();
  const std::string chunk(1 << 10, 'x');
  constexpr int kChunks = 150;  // more than the transport's window, less than the buffer
  for (int i = 0; i < kChunks; ++i) ASSERT_TRUE(accepted.Write(chunk));
  accepted.Finish();
  Answer answer;
  v1::GenerateResponse event;
  while (reader->Read(&event)) answer.events.push_back(event);
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(answer.text().size(), chunk.size() * kChunks);
  // What the window did not take came together.
  EXPECT_LT(answer.events.size(), kChunks / 2U);
  EXPECT_EQ(answer.finished(), 1);
}

TEST_F(GenerationServiceTest, ACancelledCallCancelsTheRequest) {
  grpc::ClientContext context;
  auto reader = stub_->Generate(&context, TextRequest());
  Accepted accepted = sink_.Take();
  accepted.Start();
  accepted.Write("one");
  v1::GenerateResponse event;
  ASSERT_TRUE(reader->Read(&event));
  context.TryCancel();
  sink_.AwaitCancelled(1);
  EXPECT_TRUE(accepted.writer.cancelled());
  while (reader->Read(&event)) continue;
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(GenerationServiceTest, AClientThatIsGoneCancelsTheRequest) {
  auto channel = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), [] {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return arguments;
  }());
  auto context = std::make_unique<grpc::ClientContext>();
  auto reader = v1::GenerationService::NewStub(channel)->Generate(context.get(), TextRequest());
  Accepted accepted = sink_.Take();
  accepted.Start();
  context->TryCancel();
  reader.reset();
  context.reset();
  channel.reset();
  sink_.AwaitCancelled(1);
  EXPECT_TRUE(accepted.writer.cancelled());
}

TEST_F(GenerationServiceTest, CancelAgainstFinishEndsEveryCallOnce) {
  constexpr int kCalls = 200;
  std::thread engine([&] {
    std::vector<Accepted> open;
    // A call that is cancelled early may never arrive.
    for (int i = 0; auto accepted = sink_.TakeUnlessClosed(); ++i) {
      accepted->Start();
      accepted->Write("text");
      if (i % 3 != 0) {
        accepted->Finish();
      } else {
        open.push_back(*std::move(accepted));
      }
      if (open.size() == 8) open.clear();  // fails them
    }
  });
  for (int i = 0; i < kCalls; ++i) {
    grpc::ClientContext context;
    auto reader = stub_->Generate(&context, TextRequest());
    v1::GenerateResponse event;
    if (i % 2 == 0) reader->Read(&event);
    context.TryCancel();
    int finished = 0;
    while (reader->Read(&event)) finished += event.has_finished() ? 1 : 0;
    reader->Finish();
    EXPECT_LE(finished, 1);
  }
  server_->Shutdown(absl::ZeroDuration());  // returns only when every reactor is done
  sink_.Close();
  engine.join();
}

TEST_F(GenerationServiceTest, TheTenantComesFromTheKey) {
  authenticator_.Replace(*Credentials::FromJson(R"({"credentials":[{"name":"b","sha256":")" +
                                                Sha256Hex("key") +
                                                R"(","tenant":"ben","roles":["inference"]}]})"));
  grpc::ClientContext with_key;
  with_key.AddMetadata("authorization", "Bearer key");
  auto reader = stub_->Generate(&with_key, TextRequest());
  {
    const Accepted accepted = sink_.Take();
    EXPECT_EQ(accepted.request.tenant, "ben");
  }
  with_key.TryCancel();
  reader->Finish();
  grpc::ClientContext list;
  list.AddMetadata("authorization", "Bearer key");
  v1::ListUsableAdaptersResponse response;
  EXPECT_TRUE(stub_->ListUsableAdapters(&list, {}, &response).ok());
  EXPECT_TRUE(response.adapters().empty());  // the fakes are another tenant's
}

TEST_F(GenerationServiceTest, WithoutKeyOrRoleNothingIsAnswered) {
  authenticator_.Replace(
      *Credentials::FromJson(R"({"credentials":[{"name":"w","sha256":")" + Sha256Hex("writer") +
                             R"(","tenant":"ben","roles":["adapter-writer"]}]})"));
  ExpectError(Generate(TextRequest()).status, grpc::StatusCode::UNAUTHENTICATED, "UNAUTHENTICATED",
              "");
  v1::GetModelInfoResponse response;
  grpc::ClientContext writer;
  writer.AddMetadata("authorization", "Bearer writer");
  ExpectError(stub_->GetModelInfo(&writer, {}, &response), grpc::StatusCode::PERMISSION_DENIED,
              "PERMISSION_DENIED", "");
  grpc::ClientContext twice;
  twice.AddMetadata("authorization", "Bearer writer");
  twice.AddMetadata("authorization", "Bearer writer");
  ExpectError(stub_->GetModelInfo(&twice, {}, &response), grpc::StatusCode::UNAUTHENTICATED,
              "UNAUTHENTICATED", "");
  EXPECT_TRUE(sink_.idle());
}

TEST_F(GenerationServiceTest, LargeMetadataIsRefused) {
  v1::GetModelInfoResponse response;
  grpc::ClientContext many;
  for (int i = 0; i < 70; ++i) many.AddMetadata("k" + std::to_string(i), "v");
  ExpectError(stub_->GetModelInfo(&many, {}, &response), grpc::StatusCode::INVALID_ARGUMENT,
              "METADATA_TOO_LARGE", "metadata");
  grpc::ClientContext large;
  large.AddMetadata("k", std::string(9000, 'v'));
  const grpc::Status status = stub_->GetModelInfo(&large, {}, &response);
  ExpectError(status, grpc::StatusCode::INVALID_ARGUMENT, "METADATA_TOO_LARGE", "metadata");
  EXPECT_THAT(status.error_message(), HasSubstr("8192 bytes"));
}

TEST_F(GenerationServiceTest, AMessagePastTheBoundIsRefusedByTheTransport) {
  const Answer answer = Generate(TextRequest(std::string(3 << 20, 'x')));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(sink_.idle());
}

}  // namespace
}  // namespace lamella
