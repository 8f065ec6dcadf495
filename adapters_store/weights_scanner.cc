#include "adapters_store/weights_scanner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {

WeightsScanner::WeightsScanner(const PeftConfig& config, const BaseSpec* base,
                               const AdapterLimits& limits, uint64_t file_bytes)
    : config_(config), base_(base), limits_(limits), file_bytes_(file_bytes) {}

absl::Status WeightsScanner::Add(std::span<const std::byte> bytes) {
  if (bytes.size() > file_bytes_ - seen_bytes_) {
    return MakeError(absl::StatusCode::kInvalidArgument, reasons::kLimitExceeded, "weights_bytes",
                     absl::StrCat("more weights than the ", file_bytes_, " bytes announced"));
  }
  if (!layout_) RETURN_IF_ERROR(AddHeader(&bytes));
  return AddValues(bytes);
}

absl::Status WeightsScanner::AddHeader(std::span<const std::byte>* bytes) {
  while (!layout_) {
    const uint64_t want = header_end_.value_or(std::min(file_bytes_, kSafetensorsHeadBytes));
    const size_t take =
        std::min<uint64_t>(bytes->size(), want - std::min<uint64_t>(want, head_.size()));
    head_.insert(head_.end(), bytes->begin(), bytes->begin() + static_cast<ptrdiff_t>(take));
    *bytes = bytes->subspan(take);
    seen_bytes_ += take;
    if (head_.size() < want) return absl::OkStatus();
    if (!header_end_) {
      ASSIGN_OR_RETURN(header_end_,
                       SafetensorsFile::HeaderEnd(head_, file_bytes_, limits_.tensors));
      head_.reserve(*header_end_);
      continue;
    }
    const std::span<const std::byte> head(head_);
    ASSIGN_OR_RETURN(layout_, SafetensorsFile::ParseHeader(head.first(*header_end_), file_bytes_,
                                                           limits_.tensors));
    ASSIGN_OR_RETURN(validated_, ValidateAdapter(config_, *layout_, *base_, limits_));
    // A short header leaves values in the head.
    const std::vector<std::byte> rest(head_.begin() + static_cast<ptrdiff_t>(*header_end_),
                                      head_.end());
    std::exchange(head_, {});
    seen_bytes_ -= rest.size();
    RETURN_IF_ERROR(AddValues(rest));
  }
  return absl::OkStatus();
}

absl::Status WeightsScanner::AddValues(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const SafetensorsTensor& tensor = layout_->tensors()[tensor_];
    const uint64_t left = tensor.file_offset + tensor.size_bytes - seen_bytes_;
    const auto piece = bytes.first(std::min<uint64_t>(left, bytes.size()));
    RETURN_IF_ERROR(ScanPiece(tensor, piece));
    seen_bytes_ += piece.size();
    bytes = bytes.subspan(piece.size());
    if (piece.size() == left) ++tensor_;
  }
  return absl::OkStatus();
}

absl::Status WeightsScanner::ScanPiece(const SafetensorsTensor& tensor,
                                       std::span<const std::byte> piece) {
  const size_t element = DTypeBytes(tensor.dtype);
  if (carry_bytes_ > 0) {
    const size_t take = std::min(element - carry_bytes_, piece.size());
    std::copy_n(piece.begin(), take, carry_.begin() + static_cast<ptrdiff_t>(carry_bytes_));
    carry_bytes_ += take;
    piece = piece.subspan(take);
    if (carry_bytes_ < element) return absl::OkStatus();
    carry_bytes_ = 0;
    RETURN_IF_ERROR(CheckFinite(tensor, std::span(carry_).first(element), limits_.max_abs_value));
  }
  const size_t whole = piece.size() / element * element;
  RETURN_IF_ERROR(CheckFinite(tensor, piece.first(whole), limits_.max_abs_value));
  carry_bytes_ = piece.size() - whole;
  std::copy_n(piece.begin() + static_cast<ptrdiff_t>(whole), carry_bytes_, carry_.begin());
  return absl::OkStatus();
}

absl::Status WeightsScanner::Finish() const {
  if (seen_bytes_ == file_bytes_ && layout_) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kInvalidArgument, reasons::kTruncated, "weights_bytes",
      absl::StrCat("the weights end after ", seen_bytes_, " of ", file_bytes_, " announced bytes"));
}

}  // namespace lamella
