// AdapterAdminService, of single versions: downloads, warming, pins, quarantine.
#include <future>
#include <thread>

#include "common/base/reasons.h"
#include "server/api/adapter_admin_service.h"
#include "tests/api/admin_fixture.h"

namespace lamella {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using Stub = v1::AdapterAdminService::Stub;

class AdminVersionsTest : public AdminTest {
 protected:
  v1::AdapterVersion GetVersion(const std::string& name) {
    v1::GetVersionRequest request;
    request.set_name(name);
    v1::GetVersionResponse response;
    const grpc::Status status = Call(&Stub::GetVersion, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.version();
  }
};

TEST_F(AdminVersionsTest, ADownloadIsWhatWasUploaded) {
  const UploadFiles files = Files();
  const std::string version = MustUpload("mine");
  v1::DownloadVersionRequest request;
  request.set_name(VersionOf("mine", version));
  grpc::ClientContext context;
  const auto reader = stub_->DownloadVersion(&context, request);
  v1::DownloadVersionResponse part;
  ASSERT_TRUE(reader->Read(&part));
  EXPECT_EQ(part.header().version().weights_bytes(), files.weights.size());
  UploadFiles back;
  while (reader->Read(&part)) {
    EXPECT_TRUE(part.has_weights() || back.weights.empty());
    back.config += part.config();
    back.weights += part.weights();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(back.config, files.config);
  EXPECT_TRUE(back.weights == files.weights);
}

TEST_F(AdminVersionsTest, ADownloadOfNothingIsNotFoundAndCanBeCancelled) {
  v1::DownloadVersionRequest request;
  request.set_name(VersionOf("mine", std::string(64, 'a')));
  v1::DownloadVersionResponse part;
  grpc::ClientContext missing;
  auto reader = stub_->DownloadVersion(&missing, request);
  EXPECT_FALSE(reader->Read(&part));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_name(VersionOf("mine", MustUpload("mine")));
  grpc::ClientContext cancelled;
  reader = stub_->DownloadVersion(&cancelled, request);
  ASSERT_TRUE(reader->Read(&part));
  cancelled.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(AdminVersionsTest, WarmingAnswersWhenTheLoadHasSettled) {
  const std::string version = MustUpload("mine");
  const AdapterRef ref{"default", "mine", version};
  residency_.loads.HoldLoads(true);
  v1::WarmVersionRequest request;
  request.set_name(VersionOf("mine", version));
  v1::WarmVersionResponse response;
  auto call =
      std::async(std::launch::async, [&] { return Call(&Stub::WarmVersion, request, &response); });
  while (residency_.loads.Loading().empty()) std::this_thread::yield();
  EXPECT_EQ(GetVersion(request.name()).residency(), v1::RESIDENCY_DISK);
  residency_.loads.FinishLoads();
  const grpc::Status status = call.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.version().residency(), v1::RESIDENCY_HOST);
  EXPECT_EQ(residency_.loads.pins(), 0);
}

TEST_F(AdminVersionsTest, AFailedLoadIsTheAnswerOfWarming) {
  const std::string version = MustUpload("mine");
  residency_.loads.HoldLoads(true);
  v1::WarmVersionRequest request;
  request.set_name(VersionOf("mine", version));
  v1::WarmVersionResponse response;
  auto call =
      std::async(std::launch::async, [&] { return Call(&Stub::WarmVersion, request, &response); });
  while (residency_.loads.Loading().empty()) std::this_thread::yield();
  residency_.loads.FailLoad(
      {"default", "mine", version},
      MakeError(absl::StatusCode::kDataLoss, reasons::kDigestMismatch, "", "other bytes"));
  EXPECT_EQ(call.get().error_code(), grpc::StatusCode::DATA_LOSS);
}

TEST_F(AdminVersionsTest, ACallerWhoLeavesWarmingEndsItsCallAlone) {
  const std::string version = MustUpload("mine");
  residency_.loads.HoldLoads(true);
  v1::WarmVersionRequest request;
  request.set_name(VersionOf("mine", version));
  v1::WarmVersionResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  EXPECT_EQ(stub_->WarmVersion(&context, request, &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  server_->Shutdown(absl::InfiniteDuration());  // does not wait for the load
  residency_.loads.FinishLoads();
}

TEST_F(AdminVersionsTest, APinIsInMemoryAndOnDisk) {
  const std::string version = MustUpload("mine");
  const AdapterRef ref{"default", "mine", version};
  v1::PinVersionRequest request;
  request.set_name(VersionOf("mine", version));
  v1::PinVersionResponse response;
  ASSERT_TRUE(Call(&Stub::PinVersion, request, &response).ok());
  EXPECT_TRUE(response.version().pinned());
  EXPECT_TRUE(residency_.IsPinned(ref));
  EXPECT_THAT(store_->PinnedVersions(), SizeIs(1));
  v1::UnpinVersionRequest unpin;
  unpin.set_name(VersionOf("mine", version));
  v1::UnpinVersionResponse unpinned;
  ASSERT_TRUE(Call(&Stub::UnpinVersion, unpin, &unpinned).ok());
  EXPECT_FALSE(unpinned.version().pinned());
  EXPECT_FALSE(residency_.IsPinned(ref));
  EXPECT_THAT(store_->PinnedVersions(), IsEmpty());
}

TEST_F(AdminVersionsTest, APinThatDoesNotFitIsNotKept) {
  residency_.SetMaxPins(0);
  v1::PinVersionRequest request;
  request.set_name(VersionOf("mine", MustUpload("mine")));
  v1::PinVersionResponse response;
  const grpc::Status status = Call(&Stub::PinVersion, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailsOf(status).info.reason(), "PIN_LIMIT");
  EXPECT_THAT(store_->PinnedVersions(), IsEmpty());
}

TEST_F(AdminVersionsTest, PinningAndQuarantineAreForOperators) {
  UseCredentials();
  const std::string name =
      "tenants/anna/adapters/mine/versions/" + MustUpload("mine", 0.01F, "anna");
  v1::PinVersionRequest pin;
  pin.set_name(name);
  v1::PinVersionResponse pinned;
  EXPECT_EQ(Call(&Stub::PinVersion, pin, &pinned, "anna").error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Call(&Stub::PinVersion, pin, &pinned, "otto").ok());
  v1::QuarantineVersionRequest quarantine;
  quarantine.set_name(name);
  quarantine.set_reason("writes nonsense");
  v1::QuarantineVersionResponse quarantined;
  EXPECT_EQ(Call(&Stub::QuarantineVersion, quarantine, &quarantined, "anna").error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  ASSERT_TRUE(Call(&Stub::QuarantineVersion, quarantine, &quarantined, "otto").ok());
  EXPECT_EQ(quarantined.version().state(), v1::VERSION_STATE_QUARANTINED);
  EXPECT_EQ(quarantined.version().quarantine_reason(), "writes nonsense");
  EXPECT_EQ(store_->Resolve("anna", "mine", "").status().code(),
            absl::StatusCode::kFailedPrecondition);
  v1::ReleaseVersionRequest release;
  release.set_name(name);
  v1::ReleaseVersionResponse released;
  ASSERT_TRUE(Call(&Stub::ReleaseVersion, release, &released, "otto").ok());
  EXPECT_EQ(released.version().state(), v1::VERSION_STATE_READY);
  EXPECT_TRUE(store_->Resolve("anna", "mine", "").ok());
}

}  // namespace
}  // namespace lamella
