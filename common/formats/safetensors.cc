#include "common/formats/safetensors.h"

#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/bf16.h"
#include "common/formats/json.h"

namespace lamella {
namespace {

template <typename Convert>
void ConvertHalves(const std::byte* from, size_t count, float* out, Convert convert) {
  for (size_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from + i * sizeof(bits), sizeof(bits));
    out[i] = convert(bits);
  }
}

}  // namespace

SafetensorsLimits SafetensorsLimits::BaseModel() {
  SafetensorsLimits limits;
  limits.max_file_bytes = std::numeric_limits<uint64_t>::max();
  limits.max_header_bytes = 100'000'000;  // the reference reader's own cap
  limits.max_tensors = 1 << 20;
  limits.max_rank = 4;
  limits.allow_empty_tensors = true;
  limits.float_only = false;
  return limits;
}

int64_t SafetensorsTensor::columns() const {
  if (shape.empty()) return 1;
  if (shape.size() == 1) return shape.front();
  int64_t columns = 1;
  for (size_t i = 1; i < shape.size(); ++i) columns *= shape[i];
  return columns;
}

const SafetensorsTensor* SafetensorsFile::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

absl::StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::Open(
    std::shared_ptr<const MappedFile> file, const SafetensorsLimits& limits) {
  ASSIGN_OR_RETURN(SafetensorsFile parsed, Parse(file->bytes(), limits));
  parsed.file_ = std::move(file);
  return std::make_shared<const SafetensorsFile>(std::move(parsed));
}

absl::Status ReadAsFloat(const SafetensorsTensor& tensor, int64_t row_begin, int64_t row_end,
                         float* out) {
  if (row_begin < 0 || row_begin > row_end || row_end > tensor.rows()) {
    return MakeError(absl::StatusCode::kOutOfRange, reasons::kOutOfRange, tensor.name,
                     absl::StrCat("tensor ", QuoteForMessage(tensor.name), " has ", tensor.rows(),
                                  " rows, asked for [", row_begin, ", ", row_end, ")"));
  }
  const auto columns = static_cast<size_t>(tensor.columns());
  const size_t count = static_cast<size_t>(row_end - row_begin) * columns;
  const size_t first = static_cast<size_t>(row_begin) * columns * DTypeBytes(tensor.dtype);
  const std::byte* from = tensor.data.data() + first;
  switch (tensor.dtype) {
    case DType::kF32:
      if (count > 0) std::memcpy(out, from, count * sizeof(float));
      return absl::OkStatus();
    case DType::kF16:
      ConvertHalves(from, count, out, HalfToFloat);
      return absl::OkStatus();
    case DType::kBF16:
      ConvertHalves(from, count, out, Bf16ToFloat);
      return absl::OkStatus();
    case DType::kI64:
    case DType::kOther:
      break;
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, reasons::kUnsupportedDtype, tensor.name,
      absl::StrCat("tensor ", QuoteForMessage(tensor.name), " must be F32, F16 or BF16, is ",
                   QuoteForMessage(tensor.dtype_name)));
}

}  // namespace lamella
