#include "common/formats/safetensors_members.h"

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"

namespace lamella {
namespace safetensors {

absl::Status Refuse(const char* reason, std::string_view field, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field, message);
}

absl::Status RefuseHeader(std::string_view field, const std::string& message) {
  return Refuse(reasons::kMalformedHeader, field, message);
}

std::string Tensor(std::string_view name) { return absl::StrCat("tensor ", QuoteForMessage(name)); }

absl::Status Malformed(size_t byte) {
  return RefuseHeader("", absl::StrCat("the header is not valid JSON at byte ", byte));
}

}  // namespace safetensors

namespace {

using safetensors::Malformed;
using safetensors::Refuse;
using safetensors::RefuseHeader;
using safetensors::Tensor;

constexpr char kDTypeKey[] = "dtype";
constexpr char kShapeKey[] = "shape";
constexpr char kOffsetsKey[] = "data_offsets";
// Of one member's value, where it becomes a tree.
constexpr int32_t kMaxDepth = 3;
constexpr size_t kMaxValues = 4096;

absl::Status TooLarge(std::string_view name) {
  return RefuseHeader(name, absl::StrCat(Tensor(name), " is larger than 2^63 elements or bytes"));
}

struct NamedDType {
  std::string_view name;
  DType dtype;
  uint64_t bytes;  // of an element
};
constexpr std::array<NamedDType, 17> kDTypes = {{{"F32", DType::kF32, 4},
                                                 {"F16", DType::kF16, 2},
                                                 {"BF16", DType::kBF16, 2},
                                                 {"I64", DType::kI64, 8},
                                                 {"F64", DType::kOther, 8},
                                                 {"U64", DType::kOther, 8},
                                                 {"C64", DType::kOther, 8},
                                                 {"I32", DType::kOther, 4},
                                                 {"U32", DType::kOther, 4},
                                                 {"I16", DType::kOther, 2},
                                                 {"U16", DType::kOther, 2},
                                                 {"I8", DType::kOther, 1},
                                                 {"U8", DType::kOther, 1},
                                                 {"BOOL", DType::kOther, 1},
                                                 {"F8_E4M3", DType::kOther, 1},
                                                 {"F8_E5M2", DType::kOther, 1},
                                                 {"F8_E8M0", DType::kOther, 1}}};

const NamedDType* FindDType(std::string_view name) {
  const auto* found = std::ranges::find(kDTypes, name, &NamedDType::name);
  return found == kDTypes.end() ? nullptr : found;
}

bool ReadPlainDType(JsonCursor* at, SafetensorsTensor* tensor) {
  const auto name = at->PlainString();
  tensor->dtype_name = name.value_or("");
  return name.has_value();
}

}  // namespace

// The next value by the strict parser, whatever it is.
absl::StatusOr<JsonValue> SafetensorsMembers::ReadStrictly(JsonCursor* cursor) const {
  cursor->SkipSpace();
  const size_t at = cursor->at();
  const auto text = cursor->Value();
  if (!text) return Malformed(at);
  return ParseStrictly(*text);
}

absl::StatusOr<JsonValue> SafetensorsMembers::ParseStrictly(std::string_view text) const {
  auto value = ParseStrictJson(
      text, {.max_bytes = text.size(), .max_depth = kMaxDepth, .max_values = kMaxValues});
  if (!value.ok() && ErrorReason(value.status()) == reasons::kMalformedJson) {
    return RefuseHeader(
        "", absl::StrCat("the header's value at byte ", text.data() - header_.data(), " is ",
                         value.status().message()));
  }
  return value;
}

absl::Status SafetensorsMembers::ReadName(JsonCursor* cursor, std::string* name) const {
  if (const auto plain = cursor->PlainString()) {
    name->assign(*plain);
    return absl::OkStatus();
  }
  const size_t at = cursor->at();
  ASSIGN_OR_RETURN(const JsonValue value, ReadStrictly(cursor));
  const std::string* spelled = value.AsString();
  if (spelled == nullptr) return Malformed(at);
  *name = *spelled;
  return absl::OkStatus();
}

absl::Status SafetensorsMembers::ReadTensor(JsonCursor* cursor, SafetensorsTensor* tensor) const {
  const std::string& name = tensor->name;
  if (name.empty() || name.size() > limits_.max_name_bytes) {
    return Refuse(reasons::kLimitExceeded, "",
                  absl::StrCat("a tensor's name has 1 to ", limits_.max_name_bytes,
                               " bytes, one has ", name.size()));
  }
  Offsets offsets;
  if (!ReadPlainFields(cursor, tensor, &offsets)) {
    RETURN_IF_ERROR(ReadFields(cursor, tensor, &offsets));
  }
  ASSIGN_OR_RETURN(const uint64_t element_bytes, CheckDType(tensor));
  ASSIGN_OR_RETURN(const uint64_t elements, CheckShape(*tensor));
  RETURN_IF_ERROR(CheckOffsets(offsets, tensor));
  uint64_t expected = 0;
  if (__builtin_mul_overflow(elements, element_bytes, &expected)) return TooLarge(name);
  if (element_bytes != 0 && expected != tensor->size_bytes) {
    return RefuseHeader(
        name, absl::StrCat(Tensor(name), " needs ", expected,
                           " bytes by its shape and dtype, its offsets span ", tensor->size_bytes));
  }
  return absl::OkStatus();
}

// What every writer writes. False, with the cursor where it was, for anything else: ReadFields
// knows whether that is wrong, and how.
bool SafetensorsMembers::ReadPlainFields(JsonCursor* cursor, SafetensorsTensor* tensor,
                                         Offsets* offsets) const {
  JsonCursor at = *cursor;
  bool has_dtype = false;
  bool has_shape = false;
  bool has_offsets = false;
  for (const char mark : {'{', ',', ','}) {
    if (!at.Take(mark)) return false;
    const auto key = at.PlainString();
    if (!key || !at.Take(':')) return false;
    if (*key == kDTypeKey && !has_dtype) {
      has_dtype = ReadPlainDType(&at, tensor);
    } else if (*key == kShapeKey && !has_shape) {
      has_shape = ReadPlainShape(&at, tensor);
    } else if (*key == kOffsetsKey && !has_offsets) {
      has_offsets = ReadPlainOffsets(&at, offsets);
    } else {
      return false;
    }
  }
  if (!has_dtype || !has_shape || !has_offsets || !at.Take('}')) return false;
  *cursor = at;
  return true;
}

bool SafetensorsMembers::ReadPlainShape(JsonCursor* at, SafetensorsTensor* tensor) const {
  tensor->shape.clear();
  if (!at->Take('[')) return false;
  if (at->Take(']')) return true;
  do {
    const auto size = at->PlainInt();
    if (!size || tensor->shape.size() >= limits_.max_rank) return false;
    tensor->shape.push_back(*size);
  } while (at->Take(','));
  return at->Take(']');
}

bool SafetensorsMembers::ReadPlainOffsets(JsonCursor* at, Offsets* offsets) {
  if (!at->Take('[')) return false;
  const auto begin = at->PlainInt();
  if (!begin || !at->Take(',')) return false;
  const auto end = at->PlainInt();
  if (!end || !at->Take(']')) return false;
  *offsets = {*begin, *end};
  return true;
}

// The same of any spelling, or what is wrong with it.
absl::Status SafetensorsMembers::ReadFields(JsonCursor* cursor, SafetensorsTensor* tensor,
                                            Offsets* offsets) const {
  ASSIGN_OR_RETURN(const JsonValue value, ReadStrictly(cursor));
  const std::string& name = tensor->name;
  const JsonValue* dtype = value.Find(kDTypeKey);
  const JsonValue* shape = value.Find(kShapeKey);
  const JsonValue* pair = value.Find(kOffsetsKey);
  if (dtype == nullptr || shape == nullptr || pair == nullptr || value.AsObject()->size() != 3) {
    return RefuseHeader(name, absl::StrCat(Tensor(name),
                                           " must have exactly the members dtype, "
                                           "shape and data_offsets"));
  }
  const std::string* dtype_name = dtype->AsString();
  if (dtype_name == nullptr) {
    return RefuseHeader(
        name, absl::StrCat(Tensor(name), ": dtype must be a string, is ", dtype->Describe()));
  }
  tensor->dtype_name = *dtype_name;
  RETURN_IF_ERROR(ReadShape(*shape, tensor));
  const JsonValue::Array* ends = pair->AsArray();
  if (ends != nullptr && ends->size() == 2) {
    *offsets = {ends->front().AsInt().value_or(-1), ends->back().AsInt().value_or(-1)};
  } else {
    *offsets = {};
  }
  return absl::OkStatus();
}

absl::Status SafetensorsMembers::ReadShape(const JsonValue& value,
                                           SafetensorsTensor* tensor) const {
  const JsonValue::Array* dims = value.AsArray();
  if (dims == nullptr || dims->size() > limits_.max_rank) {
    return RefuseHeader(tensor->name,
                        absl::StrCat(Tensor(tensor->name), ": shape must be an array of at most ",
                                     limits_.max_rank, " integers, is ", value.Describe()));
  }
  tensor->shape.clear();
  for (const JsonValue& dim : *dims) {
    const auto size = dim.AsInt();
    if (!size) return BadDimension(tensor->name, dim.Describe());
    tensor->shape.push_back(*size);
  }
  return absl::OkStatus();
}

absl::Status SafetensorsMembers::BadDimension(std::string_view name, const std::string& dim) const {
  return RefuseHeader(name, absl::StrCat(Tensor(name), ": a dimension must be an integer of at ",
                                         "least ", SmallestDimension(), ", is ", dim));
}

// Bytes of an element, 0 if the dtype is unknown (and tolerated).
absl::StatusOr<uint64_t> SafetensorsMembers::CheckDType(SafetensorsTensor* tensor) const {
  const NamedDType* found = FindDType(tensor->dtype_name);
  tensor->dtype = found == nullptr ? DType::kOther : found->dtype;
  const bool is_float =
      tensor->dtype == DType::kF32 || tensor->dtype == DType::kF16 || tensor->dtype == DType::kBF16;
  if (limits_.float_only && !is_float) {
    return Refuse(reasons::kUnsupportedDtype, tensor->name,
                  absl::StrCat(Tensor(tensor->name), " must be F32, F16 or BF16, is ",
                               QuoteForMessage(tensor->dtype_name)));
  }
  return found == nullptr ? 0 : found->bytes;
}

// The number of elements. No product of dimensions overflows, zeros left aside, so that rows and
// columns can be multiplied without a thought.
absl::StatusOr<uint64_t> SafetensorsMembers::CheckShape(const SafetensorsTensor& tensor) const {
  int64_t product = 1;
  bool empty = false;
  for (const int64_t size : tensor.shape) {
    if (size < SmallestDimension()) return BadDimension(tensor.name, absl::StrCat(size));
    empty = empty || size == 0;
    if (__builtin_mul_overflow(product, std::max<int64_t>(size, 1), &product)) {
      return TooLarge(tensor.name);
    }
  }
  return empty ? 0 : static_cast<uint64_t>(product);
}

absl::Status SafetensorsMembers::CheckOffsets(const Offsets& offsets,
                                              SafetensorsTensor* tensor) const {
  if (offsets.begin < 0 || offsets.begin > offsets.end) {
    return RefuseHeader(tensor->name,
                        absl::StrCat(Tensor(tensor->name),
                                     ": data_offsets must be two integers, 0 <= begin <= end"));
  }
  const uint64_t data_bytes = file_bytes_ - data_begin_;
  if (static_cast<uint64_t>(offsets.end) > data_bytes) {
    return Refuse(reasons::kTruncated, tensor->name,
                  absl::StrCat(Tensor(tensor->name), " ends at byte ",
                               data_begin_ + static_cast<uint64_t>(offsets.end),
                               " of the file, which has ", file_bytes_, " bytes"));
  }
  tensor->file_offset = data_begin_ + static_cast<uint64_t>(offsets.begin);
  tensor->size_bytes = static_cast<uint64_t>(offsets.end - offsets.begin);
  return absl::OkStatus();
}

}  // namespace lamella
