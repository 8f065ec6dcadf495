// SafetensorsFile::Parse: every rule of the header, in the order in which bytes become trusted.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/json.h"
#include "common/formats/safetensors.h"

namespace lamella {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr char kMetadataKey[] = "__metadata__";

absl::Status Refuse(const char* reason, std::string_view field, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field, message);
}

absl::Status RefuseHeader(std::string_view field, const std::string& message) {
  return Refuse(reasons::kMalformedHeader, field, message);
}

std::string Tensor(std::string_view name) { return absl::StrCat("tensor ", QuoteForMessage(name)); }

absl::Status TooLarge(std::string_view name) {
  return RefuseHeader(name, absl::StrCat(Tensor(name), " is larger than 2^63 elements or bytes"));
}

// What people upload by mistake, recognised by its first bytes. The length of a safetensors header
// is below 2^32, so text and most magic numbers cannot be one; a short pickle's could.
std::optional<std::string> OtherFormat(std::string_view head) {
  if (head.starts_with("PK\x03\x04")) return "a zip archive (torch.save)";
  if (head.starts_with("GGUF")) return "a GGUF file";
  if (head.starts_with("version https://git-lfs")) return "a Git LFS pointer, not the file itself";
  if (head.size() < kLengthBytes || head[0] != '\x80' || head[1] < 2 || head[1] > 5) return {};
  const bool short_length = head.substr(4, 4) == std::string_view("\0\0\0\0", 4);
  if (short_length) return {};
  return "a pickle (torch.save)";
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

}  // namespace

class SafetensorsParser {
 public:
  // `bytes` is the whole file, or at least everything up to the end of its header.
  SafetensorsParser(std::span<const std::byte> bytes, uint64_t file_bytes,
                    const SafetensorsLimits& limits)
      : bytes_(bytes), file_bytes_(file_bytes), limits_(limits) {}

  absl::StatusOr<SafetensorsFile> Run() {
    ASSIGN_OR_RETURN(const std::string_view header, Header());
    ASSIGN_OR_RETURN(const JsonValue root, ParseHeader(header));
    file_.tensors_.reserve(std::min(root.AsObject()->size(), limits_.max_tensors));
    for (const JsonMember& member : *root.AsObject()) {
      if (member.key == kMetadataKey) {
        RETURN_IF_ERROR(ReadMetadata(member.value));
      } else {
        RETURN_IF_ERROR(ReadTensor(member.key, member.value));
      }
    }
    RETURN_IF_ERROR(CheckLayout());
    auto& tensors = file_.tensors_;
    if (bytes_.size() == file_bytes_) {
      for (SafetensorsTensor& t : tensors) t.data = bytes_.subspan(t.file_offset, t.size_bytes);
    }
    file_.index_.reserve(tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) file_.index_.emplace(tensors[i].name, i);
    return std::move(file_);
  }

 private:
  uint64_t Size() const { return file_bytes_; }

  absl::StatusOr<std::string_view> Header() {
    ASSIGN_OR_RETURN(data_begin_, HeaderEnd());
    return std::string_view(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes,
                            data_begin_ - kLengthBytes);
  }

 public:
  // Checks everything about the header's place.
  absl::StatusOr<uint64_t> HeaderEnd() const {
    const std::string_view all(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    if (const auto other = OtherFormat(all.substr(0, kSafetensorsHeadBytes))) {
      return Refuse(reasons::kUnsupportedFormat, "",
                    absl::StrCat("this is ", *other,
                                 "; convert it to safetensors, for example with "
                                 "save_pretrained(..., safe_serialization=True)"));
    }
    if (Size() > limits_.max_file_bytes) {
      return Refuse(reasons::kLimitExceeded, "",
                    absl::StrCat("the file has ", Size(), " bytes, at most ",
                                 limits_.max_file_bytes, " are taken"));
    }
    if (Size() < kLengthBytes) {
      return Refuse(reasons::kTruncated, "",
                    absl::StrCat("the header's length ends at byte ", kLengthBytes,
                                 " of the file, which has ", Size(), " bytes"));
    }
    uint64_t length = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) {
      length |= std::to_integer<uint64_t>(bytes_[i]) << (8 * i);
    }
    if (length > limits_.max_header_bytes) {
      return Refuse(reasons::kLimitExceeded, "",
                    absl::StrCat("the header has ", length, " bytes, at most ",
                                 limits_.max_header_bytes, " are taken"));
    }
    if (length > Size() - kLengthBytes) {
      return Refuse(reasons::kTruncated, "",
                    absl::StrCat("the header ends at byte ", kLengthBytes + length,
                                 " of the file, which has ", Size(), " bytes"));
    }
    return kLengthBytes + length;
  }

 private:
  absl::StatusOr<JsonValue> ParseHeader(std::string_view header) const {
    if (!header.starts_with('{')) return RefuseHeader("", "the header does not begin with '{'");
    const JsonLimits limits{.max_bytes = header.size(),
                            .max_depth = 4,
                            .max_values = limits_.max_tensors * (8 + limits_.max_rank) + 4096};
    auto root = ParseStrictJson(header, limits);
    if (!root.ok() && ErrorReason(root.status()) == reasons::kMalformedJson) {
      return RefuseHeader("", absl::StrCat("the header is ", root.status().message()));
    }
    return root;
  }

  absl::Status ReadMetadata(const JsonValue& value) {
    const JsonValue::Object* object = value.AsObject();
    if (object == nullptr) {
      return RefuseHeader(kMetadataKey, "__metadata__ must be an object of strings");
    }
    for (const JsonMember& member : *object) {
      const std::string* text = member.value.AsString();
      if (text == nullptr) {
        return RefuseHeader(kMetadataKey, absl::StrCat("__metadata__ must hold strings, ",
                                                       QuoteForMessage(member.key), " is ",
                                                       member.value.Describe()));
      }
      file_.metadata_.emplace_back(member.key, *text);
    }
    return absl::OkStatus();
  }

  absl::Status ReadTensor(const std::string& name, const JsonValue& value) {
    if (file_.tensors_.size() >= limits_.max_tensors) {
      return Refuse(reasons::kLimitExceeded, "",
                    absl::StrCat("more than ", limits_.max_tensors, " tensors"));
    }
    if (name.empty() || name.size() > limits_.max_name_bytes) {
      return Refuse(reasons::kLimitExceeded, "",
                    absl::StrCat("a tensor's name has 1 to ", limits_.max_name_bytes,
                                 " bytes, one has ", name.size()));
    }
    const JsonValue* dtype = value.Find("dtype");
    const JsonValue* shape = value.Find("shape");
    const JsonValue* offsets = value.Find("data_offsets");
    if (dtype == nullptr || shape == nullptr || offsets == nullptr ||
        value.AsObject()->size() != 3) {
      return RefuseHeader(name, absl::StrCat(Tensor(name),
                                             " must have exactly the members dtype, "
                                             "shape and data_offsets"));
    }
    SafetensorsTensor tensor;
    tensor.name = name;
    ASSIGN_OR_RETURN(const uint64_t element_bytes, ReadDType(*dtype, &tensor));
    ASSIGN_OR_RETURN(const uint64_t elements, ReadShape(*shape, &tensor));
    RETURN_IF_ERROR(ReadOffsets(*offsets, &tensor));
    uint64_t expected = 0;
    if (__builtin_mul_overflow(elements, element_bytes, &expected)) return TooLarge(name);
    if (element_bytes != 0 && expected != tensor.size_bytes) {
      return RefuseHeader(name, absl::StrCat(Tensor(name), " needs ", expected,
                                             " bytes by its shape and dtype, its offsets span ",
                                             tensor.size_bytes));
    }
    file_.tensors_.push_back(std::move(tensor));
    return absl::OkStatus();
  }

  // Bytes of an element, 0 if the dtype is unknown (and tolerated).
  absl::StatusOr<uint64_t> ReadDType(const JsonValue& value, SafetensorsTensor* tensor) const {
    const std::string* name = value.AsString();
    if (name == nullptr) {
      return RefuseHeader(tensor->name, absl::StrCat(Tensor(tensor->name),
                                                     ": dtype must be a "
                                                     "string, is ",
                                                     value.Describe()));
    }
    const NamedDType* found = FindDType(*name);
    tensor->dtype_name = *name;
    tensor->dtype = found == nullptr ? DType::kOther : found->dtype;
    const bool is_float = tensor->dtype == DType::kF32 || tensor->dtype == DType::kF16 ||
                          tensor->dtype == DType::kBF16;
    if (limits_.float_only && !is_float) {
      return Refuse(reasons::kUnsupportedDtype, tensor->name,
                    absl::StrCat(Tensor(tensor->name), " must be F32, F16 or BF16, is ",
                                 QuoteForMessage(*name)));
    }
    return found == nullptr ? 0 : found->bytes;
  }

  // The number of elements. No product of dimensions overflows, zeros left aside, so that rows and
  // columns can be multiplied without a thought.
  absl::StatusOr<uint64_t> ReadShape(const JsonValue& value, SafetensorsTensor* tensor) const {
    const JsonValue::Array* dims = value.AsArray();
    if (dims == nullptr || dims->size() > limits_.max_rank) {
      return RefuseHeader(tensor->name,
                          absl::StrCat(Tensor(tensor->name), ": shape must be an array of at most ",
                                       limits_.max_rank, " integers, is ", value.Describe()));
    }
    const int64_t smallest = limits_.allow_empty_tensors ? 0 : 1;
    int64_t product = 1;
    bool empty = false;
    for (const JsonValue& dim : *dims) {
      const auto size = dim.AsInt();
      if (!size || *size < smallest) {
        return RefuseHeader(
            tensor->name,
            absl::StrCat(Tensor(tensor->name), ": a dimension must be an integer of at least ",
                         smallest, ", is ", dim.Describe()));
      }
      tensor->shape.push_back(*size);
      empty = empty || *size == 0;
      if (__builtin_mul_overflow(product, std::max<int64_t>(*size, 1), &product)) {
        return TooLarge(tensor->name);
      }
    }
    return empty ? 0 : static_cast<uint64_t>(product);
  }

  absl::Status ReadOffsets(const JsonValue& value, SafetensorsTensor* tensor) const {
    const JsonValue::Array* pair = value.AsArray();
    const auto begin =
        pair != nullptr && pair->size() == 2 ? pair->front().AsInt() : std::optional<int64_t>();
    const auto end = begin.has_value() ? pair->back().AsInt() : std::optional<int64_t>();
    if (!end || *begin < 0 || *begin > *end) {
      return RefuseHeader(tensor->name,
                          absl::StrCat(Tensor(tensor->name),
                                       ": data_offsets must be two integers, 0 <= begin <= end"));
    }
    const uint64_t data_bytes = Size() - data_begin_;
    if (static_cast<uint64_t>(*end) > data_bytes) {
      return Refuse(reasons::kTruncated, tensor->name,
                    absl::StrCat(Tensor(tensor->name), " ends at byte ",
                                 data_begin_ + static_cast<uint64_t>(*end),
                                 " of the file, which has ", Size(), " bytes"));
    }
    tensor->file_offset = data_begin_ + static_cast<uint64_t>(*begin);
    tensor->size_bytes = static_cast<uint64_t>(*end - *begin);
    return absl::OkStatus();
  }

  // Sorts by place; tensors must cover the data exactly, touching.
  absl::Status CheckLayout() {
    auto& tensors = file_.tensors_;
    std::ranges::stable_sort(tensors, [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
      return std::pair(a.file_offset, a.size_bytes) < std::pair(b.file_offset, b.size_bytes);
    });
    uint64_t next = data_begin_;
    for (const SafetensorsTensor& tensor : tensors) {
      if (tensor.file_offset != next) {
        return RefuseHeader(
            tensor.name,
            absl::StrCat(Tensor(tensor.name), " begins at ", tensor.file_offset - data_begin_,
                         tensor.file_offset < next ? " inside" : " after a hole behind",
                         " the tensor before it, which ends at ", next - data_begin_));
      }
      next = tensor.file_offset + tensor.size_bytes;
    }
    if (next != Size()) {
      return RefuseHeader("", absl::StrCat(Size() - next, " bytes follow the last tensor"));
    }
    return absl::OkStatus();
  }

  const std::span<const std::byte> bytes_;
  const uint64_t file_bytes_;
  const SafetensorsLimits limits_;
  uint64_t data_begin_ = 0;
  SafetensorsFile file_;
};

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(std::span<const std::byte> bytes,
                                                       const SafetensorsLimits& limits) {
  return SafetensorsParser(bytes, bytes.size(), limits).Run();
}

absl::StatusOr<uint64_t> SafetensorsFile::HeaderEnd(std::span<const std::byte> head,
                                                    uint64_t file_bytes,
                                                    const SafetensorsLimits& limits) {
  return SafetensorsParser(head, file_bytes, limits).HeaderEnd();
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::ParseHeader(std::span<const std::byte> head,
                                                             uint64_t file_bytes,
                                                             const SafetensorsLimits& limits) {
  return SafetensorsParser(head, file_bytes, limits).Run();
}

}  // namespace lamella
