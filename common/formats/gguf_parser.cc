#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/base/status_macros.h"
#include "common/formats/gguf.h"
#include "common/formats/gguf_wire.h"

namespace lamella {
namespace {

using gguf_wire::Invalid;
using gguf_wire::kArray;
using gguf_wire::kString;
using gguf_wire::Load;
using gguf_wire::Malformed;
using gguf_wire::ScalarBytes;
using gguf_wire::ToAbsl;
using gguf_wire::Unsupported;

// Far above any real file, low enough that a hostile count cannot cost much before the bytes run
// out.
constexpr uint64_t kMaxPairs = 1U << 16;
constexpr uint64_t kMaxTensors = 1U << 17;
constexpr uint64_t kMaxNameBytes = 1U << 10;
constexpr uint32_t kMaxDims = 4;
constexpr uint64_t kMaxElements = uint64_t{1} << 48;  // of one tensor: keeps products in int64
constexpr uint64_t kMaxAlignment = 1U << 20;

// A cursor that cannot leave its bytes.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }
  const uint8_t* here() const { return bytes_.data() + position_; }

  absl::Status Need(uint64_t bytes, std::string_view what) const {
    if (bytes <= left()) return absl::OkStatus();
    return Invalid(reasons::kTruncated, what,
                   absl::StrCat("file ends inside ", ToAbsl(what), ": needs ", bytes,
                                " bytes at offset ", position_, ", has ", left()));
  }

  absl::StatusOr<std::span<const uint8_t>> Take(uint64_t bytes, std::string_view what) {
    RETURN_IF_ERROR(Need(bytes, what));
    auto taken = bytes_.subspan(position_, bytes);
    position_ += bytes;
    return taken;
  }

  template <typename T>
  absl::StatusOr<T> Number(std::string_view what) {
    ASSIGN_OR_RETURN(auto taken, Take(sizeof(T), what));
    return Load<T>(taken.data());
  }

  absl::StatusOr<std::string_view> String(std::string_view what) {
    ASSIGN_OR_RETURN(const uint64_t length, Number<uint64_t>(what));
    ASSIGN_OR_RETURN(auto taken, Take(length, what));
    return std::string_view(reinterpret_cast<const char*>(taken.data()), taken.size());
  }

 private:
  std::span<const uint8_t> bytes_;
  size_t position_ = 0;
};

}  // namespace

// One pass over the bytes; lives as long as Parse.
class GgufParser {
 public:
  explicit GgufParser(std::span<const uint8_t> bytes) : bytes_(bytes), reader_(bytes) {}

  absl::StatusOr<GgufFile> Run() {
    RETURN_IF_ERROR(Header());
    for (uint64_t i = 0; i < pairs_; ++i) RETURN_IF_ERROR(Pair());
    for (uint64_t i = 0; i < tensors_; ++i) RETURN_IF_ERROR(TensorInfo());
    RETURN_IF_ERROR(PlaceData());
    return std::move(file_);
  }

 private:
  absl::Status Header();
  absl::Status Pair();
  absl::StatusOr<GgufValue> Value(uint32_t type, std::string_view key);
  absl::StatusOr<GgufValue> Array(std::string_view key);
  absl::Status TensorInfo();
  absl::StatusOr<uint64_t> Shape(GgufTensor* tensor);
  absl::Status PlaceData();

  std::span<const uint8_t> bytes_;
  Reader reader_;
  uint64_t pairs_ = 0;
  uint64_t tensors_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> placed_;  // offset and bytes of each tensor
  GgufFile file_;
};

absl::Status GgufParser::Header() {
  ASSIGN_OR_RETURN(auto magic, reader_.Take(4, "magic"));
  if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
    return Unsupported(reasons::kUnsupportedFormat, "magic", "the file does not begin with GGUF");
  }
  ASSIGN_OR_RETURN(const uint32_t version, reader_.Number<uint32_t>("version"));
  if (version != 2 && version != 3) {
    const bool swapped = (version & 0xFFFFU) == 0;
    return Unsupported(reasons::kUnsupportedFormat, "version",
                       swapped
                           ? std::string("big-endian files are not supported")
                           : absl::StrCat("version ", version, " is not supported: 2 and 3 are"));
  }
  ASSIGN_OR_RETURN(tensors_, reader_.Number<uint64_t>("tensor_count"));
  ASSIGN_OR_RETURN(pairs_, reader_.Number<uint64_t>("metadata_kv_count"));
  if (tensors_ > kMaxTensors) {
    return Invalid(reasons::kLimitExceeded, "tensor_count",
                   absl::StrCat("tensor_count ", tensors_, " exceeds ", kMaxTensors));
  }
  if (pairs_ > kMaxPairs) {
    return Invalid(reasons::kLimitExceeded, "metadata_kv_count",
                   absl::StrCat("metadata_kv_count ", pairs_, " exceeds ", kMaxPairs));
  }
  return absl::OkStatus();
}

absl::Status GgufParser::Pair() {
  ASSIGN_OR_RETURN(const std::string_view key, reader_.String("metadata key"));
  if (key.empty() || key.size() > kMaxNameBytes) {
    return Invalid(reasons::kLimitExceeded, "metadata key",
                   absl::StrCat("a metadata key of ", key.size(), " bytes is not in [1, ",
                                kMaxNameBytes, "]"));
  }
  ASSIGN_OR_RETURN(const uint32_t type, reader_.Number<uint32_t>(key));
  ASSIGN_OR_RETURN(GgufValue value, Value(type, key));
  if (!file_.values_.emplace(key, value).second) {
    return Invalid(reasons::kDuplicateKey, key,
                   absl::StrCat("metadata key ", ToAbsl(key), " stands twice"));
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufValue> GgufParser::Value(uint32_t type, std::string_view key) {
  if (type == kString) {
    ASSIGN_OR_RETURN(const std::string_view text, reader_.String(key));
    return GgufValue(text);
  }
  if (type == kArray) return Array(key);
  const size_t bytes = ScalarBytes(type);
  if (bytes == 0) {
    return Malformed(key, absl::StrCat(ToAbsl(key), " has unknown value type ", type));
  }
  ASSIGN_OR_RETURN(auto taken, reader_.Take(bytes, key));
  return gguf_wire::LoadScalar(type, taken.data());
}

absl::StatusOr<GgufValue> GgufParser::Array(std::string_view key) {
  GgufArray array;
  ASSIGN_OR_RETURN(array.type, reader_.Number<uint32_t>(key));
  ASSIGN_OR_RETURN(array.count, reader_.Number<uint64_t>(key));
  if (array.type == kArray) {
    return Unsupported(reasons::kUnsupportedFormat, key,
                       absl::StrCat(ToAbsl(key), " is an array of arrays"));
  }
  const size_t bytes = array.type == kString ? sizeof(uint64_t) : ScalarBytes(array.type);
  if (bytes == 0) {
    return Malformed(key, absl::StrCat(ToAbsl(key), " has unknown element type ", array.type));
  }
  if (array.count > reader_.left() / bytes) {
    return Invalid(reasons::kTruncated, key,
                   absl::StrCat(ToAbsl(key), " announces ", array.count, " elements, but ",
                                reader_.left(), " bytes are left"));
  }
  const size_t begin = reader_.position();
  if (array.type == kString) {
    for (uint64_t i = 0; i < array.count; ++i) RETURN_IF_ERROR(reader_.String(key).status());
  } else {
    RETURN_IF_ERROR(reader_.Take(array.count * bytes, key).status());
  }
  array.bytes = bytes_.subspan(begin, reader_.position() - begin);
  return GgufValue(array);
}

// Fills shape and returns the number of elements.
absl::StatusOr<uint64_t> GgufParser::Shape(GgufTensor* tensor) {
  ASSIGN_OR_RETURN(const uint32_t dims, reader_.Number<uint32_t>(tensor->name));
  if (dims == 0 || dims > kMaxDims) {
    return Malformed(tensor->name, absl::StrCat("tensor ", tensor->name, " has ", dims,
                                                " dimensions, not 1 to ", kMaxDims));
  }
  uint64_t elements = 1;
  tensor->shape.resize(dims);
  for (uint32_t i = 0; i < dims; ++i) {
    ASSIGN_OR_RETURN(const uint64_t size, reader_.Number<uint64_t>(tensor->name));
    if (size == 0 || size > kMaxElements / elements) {
      return Invalid(reasons::kLimitExceeded, tensor->name,
                     absl::StrCat("tensor ", tensor->name, ": dimension ", i, " is ", size,
                                  "; the product must be in [1, 2^48]"));
    }
    elements *= size;
    tensor->shape[dims - 1 - i] = static_cast<int64_t>(size);
  }
  return elements;
}

absl::Status GgufParser::TensorInfo() {
  GgufTensor tensor;
  ASSIGN_OR_RETURN(tensor.name, reader_.String("tensor name"));
  if (tensor.name.empty() || tensor.name.size() > kMaxNameBytes) {
    return Invalid(reasons::kLimitExceeded, "tensor name",
                   absl::StrCat("a tensor name of ", tensor.name.size(), " bytes is not in [1, ",
                                kMaxNameBytes, "]"));
  }
  ASSIGN_OR_RETURN(const uint64_t elements, Shape(&tensor));
  ASSIGN_OR_RETURN(const uint32_t type, reader_.Number<uint32_t>(tensor.name));
  ASSIGN_OR_RETURN(const uint64_t offset, reader_.Number<uint64_t>(tensor.name));
  const GgmlBlock block = GgmlBlockOf(type);
  if (block.elements == 0) {
    return Unsupported(
        reasons::kUnsupportedDtype, tensor.name,
        absl::StrCat("tensor ", tensor.name, " is stored as ", GgmlTypeName(type),
                     "; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K can be "
                     "read"));
  }
  if (tensor.columns() % block.elements != 0) {
    return Invalid(
        reasons::kShapeMismatch, tensor.name,
        absl::StrCat("tensor ", tensor.name, ": rows of ", tensor.columns(), " are no multiple of ",
                     GgmlTypeName(type), "'s block of ", block.elements));
  }
  tensor.type = static_cast<GgmlType>(type);
  const auto block_elements = static_cast<uint64_t>(block.elements);
  placed_.emplace_back(offset, elements / block_elements * static_cast<uint64_t>(block.bytes));
  if (!file_.tensor_index_.emplace(tensor.name, file_.tensors_.size()).second) {
    return Invalid(reasons::kDuplicateKey, tensor.name,
                   absl::StrCat("tensor ", tensor.name, " stands twice"));
  }
  file_.tensors_.push_back(std::move(tensor));
  return absl::OkStatus();
}

absl::Status GgufParser::PlaceData() {
  uint64_t alignment = 32;
  if (file_.Has("general.alignment")) {
    ASSIGN_OR_RETURN(const int64_t value, file_.GetInt("general.alignment", 1, kMaxAlignment));
    alignment = static_cast<uint64_t>(value);
    if ((alignment & (alignment - 1)) != 0) {
      return Malformed("general.alignment",
                       absl::StrCat("general.alignment ", value, " is no power of two"));
    }
  }
  const uint64_t start = (reader_.position() + alignment - 1) / alignment * alignment;
  const uint64_t room = start <= bytes_.size() ? bytes_.size() - start : 0;
  for (size_t i = 0; i < placed_.size(); ++i) {
    const auto [offset, size] = placed_[i];
    GgufTensor& tensor = file_.tensors_[i];
    if (offset % alignment != 0) {
      return Malformed(tensor.name, absl::StrCat("tensor ", tensor.name, ": offset ", offset,
                                                 " is no multiple of ", alignment));
    }
    if (offset > room || size > room - offset) {
      return Invalid(reasons::kTruncated, tensor.name,
                     absl::StrCat("tensor ", tensor.name, " has ", size, " bytes at offset ",
                                  offset, ", but the file holds ", room, " bytes of data"));
    }
    tensor.data = bytes_.subspan(start + offset, size);
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufFile> GgufFile::Parse(std::span<const uint8_t> bytes) {
  return GgufParser(bytes).Run();
}

}  // namespace lamella
