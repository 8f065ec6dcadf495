#include "client/call.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "grpcpp/create_channel.h"

namespace lamella::client {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& flag,
                                                           const std::string& address) {
  if (address.rfind(':') == std::string::npos) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag, flag,
                     absl::StrCat(flag, " must be HOST:PORT, got \"", address, "\""));
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void Prepare(absl::Duration timeout, const std::string& key, grpc::ClientContext* context) {
  if (timeout != absl::InfiniteDuration()) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  }
  if (!key.empty()) context->AddMetadata("authorization", "Bearer " + key);
}

const char* ResidencyName(v1::Residency residency) {
  switch (residency) {
    case v1::RESIDENCY_DISK:
      return "disk";
    case v1::RESIDENCY_HOST:
      return "host";
    case v1::RESIDENCY_DEVICE:
      return "device";
    default:
      return "unspecified";
  }
}

}  // namespace lamella::client
