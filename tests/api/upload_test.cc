// UploadAdapter over a socket and a real store: what is kept, and that nothing else ever is.
#include <future>
#include <thread>

#include "common/base/reasons.h"
#include "tests/api/admin_fixture.h"

namespace lamella {
namespace {

using ::testing::IsEmpty;
using Stub = v1::AdapterAdminService::Stub;

class UploadTest : public AdminTest {
 protected:
  // The next upload may begin: the one before has left nothing.
  void ExpectNothingLeft() {
    EXPECT_THAT(store_->ListAdapters("default", "", 10), IsEmpty());
    EXPECT_EQ(StoredFiles(), before_);
  }
  void ExpectRefused(const std::vector<v1::UploadAdapterRequest>& messages,
                     const std::string& reason, const std::string& field) {
    const UploadOutcome outcome = Send(messages);
    ExpectError(outcome.status, grpc::StatusCode::INVALID_ARGUMENT, reason, field);
    for (const auto& answer : outcome.answers) EXPECT_FALSE(answer.has_result());
    EXPECT_EQ(outcome.trailers.count("lamella-request-id"), 1U);
    ExpectNothingLeft();
  }
  // Begins an upload and returns once the server has taken some of its weights.
  std::unique_ptr<Stream> BeginAndSendSome(Stub* stub, grpc::ClientContext* context,
                                           const UploadFiles& files) {
    auto stream = stub->UploadAdapter(context);
    std::vector<v1::UploadAdapterRequest> messages = Messages(Header("mine", files), files, 65536);
    messages.resize(messages.size() / 2);
    for (const auto& message : messages) EXPECT_TRUE(stream->Write(message));
    v1::UploadAdapterResponse answer;
    EXPECT_TRUE(stream->Read(&answer));
    EXPECT_EQ(answer.progress().state(), v1::VERSION_STATE_UPLOADING);
    while (StoredFiles() == before_)
      std::this_thread::yield();  // until the temporary file is there
    return stream;
  }
  // The server notices by itself.
  void AwaitNothingLeft() {
    while (StoredFiles() != before_) std::this_thread::yield();
    ExpectNothingLeft();
  }

  void SetUp() override {
    AdminTest::SetUp();
    before_ = StoredFiles();
  }

  std::set<std::string> before_;
};

TEST_F(UploadTest, MakesAVersionAndSwitchesTheAliasAtOnce) {
  const UploadFiles files = Files();
  const UploadOutcome outcome = Upload("mine", files, [](v1::UploadHeader* header) {
    header->set_alias("live");
    header->set_request_id("my-upload");
    (*header->mutable_labels())["task"] = "sentiment";
  });
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_EQ(outcome.trailers.find("lamella-request-id")->second, "my-upload");
  const v1::UploadResult& result = outcome.result();
  EXPECT_TRUE(result.created());
  EXPECT_FALSE(result.validate_only());
  EXPECT_EQ(result.version().name(), "tenants/default/adapters/mine/versions/" + outcome.version());
  EXPECT_EQ(result.version().state(), v1::VERSION_STATE_READY);
  EXPECT_EQ(result.version().weights_sha256(), Sha256Hex(files.weights));
  EXPECT_EQ(result.version().weights_bytes(), files.weights.size());
  EXPECT_EQ(result.version().max_rank(), 64);
  EXPECT_EQ(result.version().residency(), v1::RESIDENCY_DISK);
  const v1::Adapter adapter = GetAdapter("mine");
  EXPECT_EQ(adapter.etag(), result.etag());
  EXPECT_EQ(adapter.labels().at("task"), "sentiment");
  ASSERT_EQ(adapter.aliases_size(), 1);
  EXPECT_EQ(adapter.aliases(0).alias(), "live");
  EXPECT_EQ(adapter.aliases(0).targets(0).version(), outcome.version());
  EXPECT_EQ(store_->Resolve("default", "mine", "")->version, outcome.version());
}

TEST_F(UploadTest, EveryEndIsCountedByHowItEnded) {
  const auto counted = [this](const char* result) {
    return registry_.metrics()->uploads.WithReason(result).Value();
  };
  const UploadFiles files = Files();
  EXPECT_TRUE(Upload("mine", files).status.ok());
  EXPECT_TRUE(Upload("mine", files).status.ok());
  EXPECT_TRUE(Upload("mine", files, [](v1::UploadHeader* header) {
                header->set_validate_only(true);
              }).status.ok());
  EXPECT_FALSE(
      Upload("mine", files, [](v1::UploadHeader* header) { header->set_alias("A"); }).status.ok());
  EXPECT_EQ(counted("created"), 1);
  EXPECT_EQ(counted("deduplicated"), 1);
  EXPECT_EQ(counted("validated"), 1);
  EXPECT_EQ(counted("invalid_resource_name"), 1);
  EXPECT_EQ(registry_.metrics()->upload_bytes.Value(), 3 * static_cast<double>(files.bytes()));
}

TEST_F(UploadTest, ProgressRisesAndEndsWithValidating) {
  const UploadFiles files = Files();
  const UploadOutcome outcome = Upload("mine", files);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  ASSERT_GE(outcome.answers.size(), 2U);
  uint64_t bytes = 0;
  int state = v1::VERSION_STATE_UPLOADING;
  for (size_t i = 0; i + 1 < outcome.answers.size(); ++i) {
    const v1::UploadProgress& progress = outcome.answers[i].progress();
    EXPECT_GE(progress.bytes(), bytes);
    EXPECT_GE(progress.state(), state);
    bytes = progress.bytes();
    state = progress.state();
  }
  EXPECT_EQ(state, v1::VERSION_STATE_VALIDATING);
  EXPECT_EQ(bytes, files.bytes());
  EXPECT_TRUE(outcome.answers.back().has_result());
}

TEST_F(UploadTest, ARepeatedUploadIsTheSameVersion) {
  const UploadOutcome first = Upload("mine", Files());
  const UploadOutcome second = Upload("mine", Files());
  ASSERT_TRUE(first.status.ok() && second.status.ok()) << second.status.error_message();
  EXPECT_TRUE(first.result().created());
  EXPECT_FALSE(second.result().created());
  EXPECT_EQ(first.version(), second.version());
  EXPECT_EQ(GetAdapter("mine").version_count(), 1);
}

TEST_F(UploadTest, ValidateOnlyKeepsNothing) {
  const UploadOutcome outcome =
      Upload("mine", Files(), [](v1::UploadHeader* header) { header->set_validate_only(true); });
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
  EXPECT_TRUE(outcome.result().validate_only());
  EXPECT_EQ(outcome.result().version().max_rank(), 64);
  ExpectNothingLeft();
}

TEST_F(UploadTest, AnotherDigestThanPromisedIsRefused) {
  const UploadOutcome outcome = Upload("mine", Files(), [](v1::UploadHeader* header) {
    header->set_weights_sha256(std::string(64, 'a'));
  });
  EXPECT_FALSE(outcome.status.ok());
  EXPECT_EQ(DetailsOf(outcome.status).info.reason(), reasons::kDigestMismatch);
  ExpectNothingLeft();
  const UploadFiles files = Files();
  EXPECT_TRUE(Upload("mine", files, [&](v1::UploadHeader* header) {
                header->set_weights_sha256(Sha256Hex(files.weights));
              }).status.ok());
}

TEST_F(UploadTest, PartsInAnotherOrderAreRefused) {
  const UploadFiles files = Files();
  const auto header = Header("mine", files);
  const auto config = Config(files.config);
  const auto weights = Weights(files.weights.substr(0, 4096));
  ExpectRefused({}, "WRONG_UPLOAD_ORDER", "header");
  ExpectRefused({config}, "WRONG_UPLOAD_ORDER", "config");
  ExpectRefused({weights}, "WRONG_UPLOAD_ORDER", "weights");
  ExpectRefused({v1::UploadAdapterRequest()}, "WRONG_UPLOAD_ORDER", "part");
  ExpectRefused({header, header}, "WRONG_UPLOAD_ORDER", "header");
  ExpectRefused({header, weights}, "WRONG_UPLOAD_ORDER", "weights");
  ExpectRefused({header, Config("{"), weights}, "WRONG_UPLOAD_ORDER", "weights");
  ExpectRefused({header, config, weights, config}, "WRONG_UPLOAD_ORDER", "config");
  ExpectRefused({header, config, weights, header}, "WRONG_UPLOAD_ORDER", "header");
}

TEST_F(UploadTest, MoreBytesThanPromisedAreRefused) {
  const UploadFiles files = Files();
  ExpectRefused({Header("mine", files), Config(files.config + " ")}, "WRONG_UPLOAD_ORDER",
                "config");
  auto messages = Messages(Header("mine", files), files);
  messages.push_back(Weights("x"));
  ExpectRefused(messages, "WRONG_UPLOAD_ORDER", "weights");
}

TEST_F(UploadTest, FewerBytesThanPromisedAreRefused) {
  const UploadFiles files = Files();
  ExpectRefused({Header("mine", files)}, "TRUNCATED", "config");
  ExpectRefused({Header("mine", files), Config(files.config)}, "TRUNCATED", "weights");
  auto messages = Messages(Header("mine", files), files);
  messages.pop_back();
  ExpectRefused(messages, "TRUNCATED", "weights");
}

TEST_F(UploadTest, ChunksAreBounded) {
  const UploadFiles files = Files();
  ExpectRefused({Header("mine", files), Config("")}, "OUT_OF_RANGE", "config");
  ExpectRefused({Header("mine", files), Config(files.config), Weights("")}, "OUT_OF_RANGE",
                "weights");
  ExpectRefused({Header("mine", files), Config(files.config),
                 Weights(files.weights.substr(0, (1 << 20) + 1))},
                "OUT_OF_RANGE", "weights");
  const UploadOutcome largest = Send(Messages(Header("mine", files), files, size_t{1} << 20));
  EXPECT_TRUE(largest.status.ok()) << largest.status.error_message();
}

TEST_F(UploadTest, ATransportsWorthOfBytesInOneMessageIsRefused) {
  const UploadFiles files = Files();
  const UploadOutcome outcome =
      Send({Header("mine", files), Config(files.config), Weights(std::string(3 << 20, 'x'))});
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  AwaitNothingLeft();
}

TEST_F(UploadTest, BadHeadersNameTheField) {
  const UploadFiles files = Files();
  const auto with = [&](const std::function<void(v1::UploadHeader*)>& change) {
    auto request = Header("mine", files);
    change(request.mutable_header());
    return std::vector<v1::UploadAdapterRequest>{request};
  };
  ExpectRefused(with([](v1::UploadHeader* h) { h->set_adapter("mine"); }), "INVALID_RESOURCE_NAME",
                "header.adapter");
  ExpectRefused(with([](v1::UploadHeader* h) { h->set_alias("LIVE"); }), "INVALID_RESOURCE_NAME",
                "header.alias");
  ExpectRefused(with([](v1::UploadHeader* h) { h->set_weights_sha256("abc"); }), "OUT_OF_RANGE",
                "header.weights_sha256");
  ExpectRefused(with([](v1::UploadHeader* h) { h->set_base_fingerprint("abc"); }), "OUT_OF_RANGE",
                "header.base_fingerprint");
  ExpectRefused(with([](v1::UploadHeader* h) { h->set_config_bytes(0); }), "OUT_OF_RANGE",
                "header.config_bytes");
  ExpectRefused(with([](v1::UploadHeader* h) { h->set_weights_bytes(0); }), "OUT_OF_RANGE",
                "header.weights_bytes");
  ExpectRefused(with([](v1::UploadHeader* h) { (*h->mutable_labels())[""] = "x"; }), "OUT_OF_RANGE",
                "header.labels");
  ExpectRefused(with([](v1::UploadHeader* h) {
                  for (int i = 0; i < 65; ++i) (*h->mutable_labels())[std::to_string(i)] = "x";
                }),
                "TOO_MANY", "header.labels");
  ExpectRefused(with([](v1::UploadHeader* h) { h->set_request_id("two words"); }), "OUT_OF_RANGE",
                "request_id");
}

TEST_F(UploadTest, BadFilesAreRefusedAsTheStoreSays) {
  UploadFiles files = Files();
  files.config = R"({"peft_type":"LORA","r":64,"lora_alpha":64,"use_dora":true})";
  const UploadOutcome dora = Upload("mine", files);
  EXPECT_EQ(dora.status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(DetailsOf(dora.status).info.reason(), "UNSUPPORTED_FEATURE");
  files = Files();
  files.weights.replace(0, 4, "PK\x03\x04");
  EXPECT_FALSE(Upload("mine", files).status.ok());
  ExpectNothingLeft();
}

TEST_F(UploadTest, AMessageThatIsNoneIsRefused) {
  grpc::ClientContext context;
  const auto stream = stub_->UploadAdapter(&context);
  v1::UploadAdapterRequest header = Header("mine", Files());
  // An unknown wire type cannot be sent through stubs; a string that is not UTF-8 can.
  header.mutable_header()->set_alias("\xff");
  stream->Write(header);
  stream->WritesDone();
  ExpectError(stream->Finish(), grpc::StatusCode::INVALID_ARGUMENT, "INVALID_UTF8", "header.alias");
  ExpectNothingLeft();
}

TEST_F(UploadTest, ACancelledUploadLeavesNothing) {
  grpc::ClientContext context;
  const auto stream = BeginAndSendSome(stub_.get(), &context, Files());
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  AwaitNothingLeft();
}

TEST_F(UploadTest, AnUploadPastItsDeadlineLeavesNothing) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  const UploadFiles files = Files();
  const auto stream = stub_->UploadAdapter(&context);
  stream->Write(Header("mine", files));
  stream->Write(Config(files.config));
  stream->Write(Weights(files.weights.substr(0, 100'000)));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  AwaitNothingLeft();
}

TEST_F(UploadTest, ALostConnectionLeavesNothing) {
  // A channel of its own, so that its end is a broken connection and not a cancelled call.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  {
    auto channel =
        grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
    const auto stub = v1::AdapterAdminService::NewStub(channel);
    grpc::ClientContext context;
    const auto stream = BeginAndSendSome(stub.get(), &context, Files());
    context.TryCancel();
    stream->Finish();
  }
  AwaitNothingLeft();
}

TEST_F(UploadTest, EveryEndOfAStreamFreesItsPlace) {
  const UploadFiles files = Files();
  for (int i = 0; i < 40; ++i) {
    grpc::ClientContext context;
    const auto stream = stub_->UploadAdapter(&context);
    stream->Write(Header("mine", files));
    v1::UploadAdapterResponse answer;
    ASSERT_TRUE(stream->Read(&answer)) << i;  // it has begun
    context.TryCancel();
    stream->Finish();
  }
  AwaitNothingLeft();
  EXPECT_TRUE(Upload("mine", Files()).status.ok());
}

TEST_F(UploadTest, OneTenantHasABoundedNumberOfUploads) {
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<Stream>> streams;
  grpc::Status refused;
  const UploadFiles files = Files();
  for (int i = 0; i < 17 && refused.ok(); ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(stub_->UploadAdapter(contexts.back().get()));
    streams.back()->Write(Header("mine", files));
    v1::UploadAdapterResponse answer;
    if (!streams.back()->Read(&answer)) refused = streams.back()->Finish();
  }
  EXPECT_EQ(streams.size(), 17U);
  ExpectError(refused, grpc::StatusCode::RESOURCE_EXHAUSTED, "QUEUE_FULL", "");
  EXPECT_TRUE(DetailsOf(refused).has_retry);
  streams.pop_back();
  for (size_t i = 0; i < streams.size(); ++i) {
    contexts[i]->TryCancel();
    streams[i]->Finish();
  }
  AwaitNothingLeft();
}

TEST_F(UploadTest, ManyAtOnceAllSucceed) {
  constexpr int kUploads = 8;
  std::vector<std::future<UploadOutcome>> uploads;
  for (int i = 0; i < kUploads; ++i) {
    uploads.push_back(std::async(std::launch::async, [this, i] {
      return Upload("a" + std::to_string(i), Files(0.01F * static_cast<float>(i + 1)));
    }));
  }
  std::set<std::string> versions;
  for (auto& upload : uploads) {
    const UploadOutcome outcome = upload.get();
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    versions.insert(outcome.version());
  }
  EXPECT_EQ(versions.size(), static_cast<size_t>(kUploads));
}

TEST_F(UploadTest, ADrainEndsWhatIsLeft) {
  grpc::ClientContext context;
  const auto stream = BeginAndSendSome(stub_.get(), &context, Files());
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_FALSE(stream->Finish().ok());
  ExpectNothingLeft();  // the server is down only when every upload has gone
}

TEST_F(UploadTest, WhatWasUploadedIsThereAfterARestart) {
  const std::string version = MustUpload("mine");
  StopServer();
  Start();
  const v1::Adapter adapter = GetAdapter("mine");
  EXPECT_EQ(adapter.aliases(0).targets(0).version(), version);
}

}  // namespace
}  // namespace lamella
