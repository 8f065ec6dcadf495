#include "client/call.h"

#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace lamella::client {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;

absl::Status ReadInto(const char* flag, const std::string& path, std::string* out) {
  if (path.empty()) return absl::OkStatus();
  std::ifstream file(path, std::ios::binary);
  out->assign(std::istreambuf_iterator<char>(file), {});
  if (file.is_open() && !out->empty()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag, flag,
                   absl::StrCat(flag, " must be a file that can be read and is not empty"));
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> CredentialsOf(const TlsOptions& tls) {
  if (!tls.enabled()) return grpc::InsecureChannelCredentials();
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag,
                     tls.cert_file.empty() ? "tls-cert" : "tls-key",
                     "tls-cert and tls-key go together");
  }
  grpc::SslCredentialsOptions options;
  RETURN_IF_ERROR(ReadInto("tls-ca", tls.ca_file, &options.pem_root_certs));
  RETURN_IF_ERROR(ReadInto("tls-cert", tls.cert_file, &options.pem_cert_chain));
  RETURN_IF_ERROR(ReadInto("tls-key", tls.key_file, &options.pem_private_key));
  return grpc::SslCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& flag,
                                                           const std::string& address,
                                                           const TlsOptions& tls) {
  if (address.rfind(':') == std::string::npos) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kInvalidFlag, flag,
                     absl::StrCat(flag, " must be HOST:PORT, got \"", address, "\""));
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  if (!tls.server_name.empty()) arguments.SetSslTargetNameOverride(tls.server_name);
  ASSIGN_OR_RETURN(const auto credentials, CredentialsOf(tls));
  return grpc::CreateCustomChannel(address, credentials, arguments);
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
