#include "server/api/upload_session.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters_store/adapter_id.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/digest.h"
#include "common/formats/json.h"
#include "server/api/admin_conversion.h"
#include "server/api/request_validator.h"
#include "server/api/resource_names.h"

namespace lamella {
namespace {

constexpr int kMaxLabels = 64;
constexpr uint64_t kMostBytes = uint64_t{1} << 50;
constexpr size_t kMaxLabelBytes = 256;

absl::Status Invalid(std::string_view reason, const std::string& field,
                     const std::string& complaint) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field,
                   absl::StrCat(field, ": ", complaint));
}

absl::Status WrongOrder(const std::string& field, const std::string& complaint) {
  return Invalid(reasons::kWrongUploadOrder, field, complaint);
}

absl::Status CheckDigest(const std::string& field, const std::string& digest) {
  if (digest.empty() || IsLowerHex(digest)) return absl::OkStatus();
  return Invalid(reasons::kOutOfRange, field,
                 absl::StrCat("must be 64 lowercase hex digits, got ", QuoteForMessage(digest)));
}

absl::Status CheckLabels(const google::protobuf::Map<std::string, std::string>& labels) {
  if (labels.size() > kMaxLabels) {
    return Invalid(reasons::kTooMany, "header.labels",
                   absl::StrCat("at most ", kMaxLabels, ", got ", labels.size()));
  }
  for (const auto& [key, value] : labels) {
    if (key.empty() || key.size() > kMaxLabelBytes || value.size() > kMaxLabelBytes) {
      return Invalid(
          reasons::kOutOfRange, "header.labels",
          absl::StrCat("keys must have 1 to ", kMaxLabelBytes, " bytes and values at most ",
                       kMaxLabelBytes, ", got ", key.size(), " and ", value.size()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckHeader(const v1::UploadHeader& header) {
  RETURN_IF_ERROR(ValidateRequestId(header.request_id()));
  if (!header.alias().empty() && !IsValidResourceId(header.alias())) {
    return Invalid(reasons::kInvalidResourceName, "header.alias",
                   absl::StrCat("must be up to 64 characters of a-z 0-9 . _ -, got ",
                                QuoteForMessage(header.alias())));
  }
  RETURN_IF_ERROR(CheckLabels(header.labels()));
  RETURN_IF_ERROR(CheckDigest("header.weights_sha256", header.weights_sha256()));
  RETURN_IF_ERROR(CheckDigest("header.base_fingerprint", header.base_fingerprint()));
  if (header.config_bytes() == 0) {
    return Invalid(reasons::kOutOfRange, "header.config_bytes", "must be at least 1, got 0");
  }
  if (header.weights_bytes() == 0) {
    return Invalid(reasons::kOutOfRange, "header.weights_bytes", "must be at least 1, got 0");
  }
  return absl::OkStatus();
}

// The bounds of the next piece of a file of which `so_far` of `total` bytes are here.
absl::Status CheckPiece(const std::string& field, size_t bytes, uint64_t so_far, uint64_t total) {
  if (bytes < 1 || bytes > kMaxChunkBytes) {
    return Invalid(reasons::kOutOfRange, field,
                   absl::StrCat("must have 1 to ", kMaxChunkBytes, " bytes, got ", bytes));
  }
  if (bytes <= total - so_far) return absl::OkStatus();
  return WrongOrder(field, absl::StrCat("more than the ", total, " bytes that header.", field,
                                        "_bytes promised"));
}

absl::Status Truncated(const std::string& field, uint64_t bytes, uint64_t total) {
  return Invalid(reasons::kTruncated, field,
                 absl::StrCat("the stream ended after ", bytes, " of ", total, " bytes"));
}

}  // namespace

UploadSession::UploadSession(const AdminDeps& deps, Caller caller, std::string request_id)
    : deps_(deps),
      caller_(std::move(caller)),
      request_id_(std::move(request_id)),
      tenant_(caller_.tenant) {}

absl::Status UploadSession::Take(const v1::UploadAdapterRequest& message) {
  absl::Status status = Dispatch(message);
  if (!status.ok()) upload_.reset();
  return status;
}

absl::Status UploadSession::Dispatch(const v1::UploadAdapterRequest& message) {
  switch (message.part_case()) {
    case v1::UploadAdapterRequest::kHeader:
      return Begin(message.header());
    case v1::UploadAdapterRequest::kConfig:
      return AddConfig(message.config());
    case v1::UploadAdapterRequest::kWeights:
      return AddWeights(message.weights());
    case v1::UploadAdapterRequest::PART_NOT_SET:
      break;
  }
  return WrongOrder("part", "a message without a part");
}

absl::Status UploadSession::Begin(const v1::UploadHeader& header) {
  if (begun_) return WrongOrder("header", "comes once");
  begun_ = true;
  RETURN_IF_ERROR(CheckHeader(header));
  if (!header.request_id().empty()) request_id_ = header.request_id();
  ASSIGN_OR_RETURN(const ResourceName name,
                   ParseAdapterName("header.adapter", header.adapter(), caller_));
  tenant_ = name.tenant;
  const TenantLimits limits = deps_.authenticator->LimitsOf(name.tenant);
  UploadHeader native{.tenant = name.tenant,
                      .adapter = name.adapter,
                      .alias = header.alias(),
                      .labels = {header.labels().begin(), header.labels().end()},
                      .weights_sha256 = header.weights_sha256(),
                      .base_fingerprint = header.base_fingerprint(),
                      .allow_other_base = header.allow_other_base(),
                      .config_bytes = header.config_bytes(),
                      .weights_bytes = header.weights_bytes(),
                      .validate_only = header.validate_only(),
                      .max_tenant_bytes = static_cast<uint64_t>(limits.max_stored_bytes),
                      .max_tenant_versions = limits.max_stored_versions};
  RETURN_IF_ERROR(Charge(name.tenant, header, limits.upload_bytes_per_day));
  ASSIGN_OR_RETURN(
      upload_, deps_.store->BeginUpload(native, {.name = caller_.name, .request_id = request_id_}));
  validate_only_ = header.validate_only();
  config_total_ = header.config_bytes();
  weights_total_ = header.weights_bytes();
  return absl::OkStatus();
}

absl::Status UploadSession::Charge(const std::string& tenant, const v1::UploadHeader& header,
                                   int64_t bytes_per_day) {
  // Beyond any file that the store takes, so that sums cannot overflow.
  const auto bytes = static_cast<int64_t>(std::min(header.config_bytes(), kMostBytes) +
                                          std::min(header.weights_bytes(), kMostBytes));
  const absl::Time now = deps_.clock->Now();
  RETURN_IF_ERROR(deps_.upload_quota->Charge(tenant, bytes, bytes_per_day, now));
  charged_ = {.tenant = tenant, .bytes = bytes, .at = now};
  return absl::OkStatus();
}

UploadSession::~UploadSession() {
  const auto came = static_cast<int64_t>(config_bytes_ + weights_bytes_);
  if (charged_.bytes <= came) return;
  deps_.upload_quota->GiveBack(charged_.tenant, charged_.bytes - came, charged_.at);
}

absl::Status UploadSession::AddConfig(const std::string& piece) {
  if (upload_ == nullptr) return WrongOrder("config", "comes after the header");
  if (weights_bytes_ > 0) return WrongOrder("config", "comes before the weights");
  RETURN_IF_ERROR(CheckPiece("config", piece.size(), config_bytes_, config_total_));
  config_bytes_ += piece.size();
  return upload_->AddConfig(piece);
}

absl::Status UploadSession::AddWeights(const std::string& piece) {
  if (upload_ == nullptr) return WrongOrder("weights", "come after the header and the config");
  if (config_bytes_ < config_total_) {
    return WrongOrder("weights", absl::StrCat("come after the config, of which ", config_bytes_,
                                              " of ", config_total_, " bytes are here"));
  }
  RETURN_IF_ERROR(CheckPiece("weights", piece.size(), weights_bytes_, weights_total_));
  weights_bytes_ += piece.size();
  return upload_->AddWeights(std::as_bytes(std::span(piece.data(), piece.size())));
}

absl::StatusOr<v1::UploadResult> UploadSession::Finish() {
  const std::unique_ptr<Upload> upload = std::move(upload_);
  if (upload == nullptr) return WrongOrder("header", "the stream ended before it");
  if (config_bytes_ < config_total_) return Truncated("config", config_bytes_, config_total_);
  if (weights_bytes_ < weights_total_) return Truncated("weights", weights_bytes_, weights_total_);
  ASSIGN_OR_RETURN(const UploadResult result, upload->Finish());
  return ToProto(result, validate_only_, *deps_.residency);
}

v1::UploadProgress UploadSession::progress() const {
  v1::UploadProgress progress;
  const uint64_t bytes = config_bytes_ + weights_bytes_;
  const uint64_t total = config_total_ + weights_total_;
  progress.set_state(begun_ && bytes == total ? v1::VERSION_STATE_VALIDATING
                                              : v1::VERSION_STATE_UPLOADING);
  progress.set_bytes(bytes);
  progress.set_total_bytes(total);
  return progress;
}

}  // namespace lamella
