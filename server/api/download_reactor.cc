#include "server/api/download_reactor.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"
#include "server/api/admin_conversion.h"
#include "server/api/resource_names.h"
#include "server/api/status_mapping.h"
#include "server/api/wire.h"

namespace lamella {
namespace {

constexpr size_t kPieceBytes = size_t{256} << 10;

// The next piece of `text` after `*sent`.
std::string_view Piece(std::string_view text, size_t* sent) {
  const std::string_view piece = text.substr(*sent, kPieceBytes);
  *sent += piece.size();
  return piece;
}

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void DownloadReactor::Start(const v1::DownloadVersionRequest& request) {
  deps_.workers->Post([this, self = shared_from_this(), request] {
    auto files = Open(request);
    {
      MutexLock lock(&files_mutex_);
      files_ = std::move(files);
    }
    Pump();
  });
}

absl::StatusOr<DownloadReactor::Files> DownloadReactor::Open(
    const v1::DownloadVersionRequest& request) const {
  ASSIGN_OR_RETURN(const ResourceName name, ParseVersionName("name", request.name(), call_.caller));
  ASSIGN_OR_RETURN(const VersionInfo info,
                   deps_.store->GetVersion(name.tenant, name.adapter, name.version));
  Files files{.version = ToProto(info, *deps_.residency), .exported = {}};
  ASSIGN_OR_RETURN(files.exported, deps_.store->Export(name.tenant, name.adapter, name.version));
  return files;
}

std::optional<WriteReactor::Output> DownloadReactor::Next() {
  MutexLock lock(&files_mutex_);
  if (!files_.has_value()) return std::nullopt;
  if (!files_->ok()) return ToGrpcStatus(files_->status(), call_.request_id);
  return NextPiece(**files_);
}

WriteReactor::Output DownloadReactor::NextPiece(const Files& files) {
  const std::string_view config = files.exported.config_json;
  const std::string_view weights = AsText(files.exported.weights->bytes());
  v1::DownloadVersionResponse response;
  if (!header_sent_) {
    header_sent_ = true;
    *response.mutable_header()->mutable_version() = files.version;
  } else if (config_sent_ < config.size()) {
    response.set_config(std::string(Piece(config, &config_sent_)));
  } else if (weights_sent_ < weights.size()) {
    response.set_weights(std::string(Piece(weights, &weights_sent_)));
  } else {
    return grpc::Status::OK;
  }
  return SerializeMessage(response);
}

}  // namespace lamella
