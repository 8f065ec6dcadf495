#include "common/formats/gguf.h"

#include <array>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/gguf_wire.h"

namespace lamella {

namespace gguf_wire {

GgufValue LoadScalar(uint32_t type, const uint8_t* p) {
  switch (type) {
    case kUint8:
      return uint64_t{*p};
    case kInt8:
      return int64_t{Load<int8_t>(p)};
    case kUint16:
      return uint64_t{Load<uint16_t>(p)};
    case kInt16:
      return int64_t{Load<int16_t>(p)};
    case kUint32:
      return uint64_t{Load<uint32_t>(p)};
    case kInt32:
      return int64_t{Load<int32_t>(p)};
    case kFloat32:
      return double{Load<float>(p)};
    case kBool:
      return *p != 0;
    case kUint64:
      return Load<uint64_t>(p);
    case kInt64:
      return Load<int64_t>(p);
    default:
      return Load<double>(p);
  }
}

}  // namespace gguf_wire

namespace {

using gguf_wire::LoadScalar;
using gguf_wire::Malformed;
using gguf_wire::ToAbsl;

std::optional<int64_t> AsInt(const GgufValue& value) {
  if (const auto* i = std::get_if<int64_t>(&value)) return *i;
  const auto* u = std::get_if<uint64_t>(&value);
  if (u == nullptr || *u > uint64_t{std::numeric_limits<int64_t>::max()}) return std::nullopt;
  return static_cast<int64_t>(*u);
}

struct TypeRow {
  uint32_t type;
  const char* name;
  GgmlBlock block;
};

// The decodable ones have a block; the others are here for messages.
constexpr std::array<TypeRow, 34> kTypes = {
    {{0, "F32", {1, 4}},       {1, "F16", {1, 2}},       {2, "Q4_0", {32, 18}},
     {3, "Q4_1", {32, 20}},    {6, "Q5_0", {32, 22}},    {7, "Q5_1", {32, 24}},
     {8, "Q8_0", {32, 34}},    {9, "Q8_1", {}},          {10, "Q2_K", {}},
     {11, "Q3_K", {}},         {12, "Q4_K", {256, 144}}, {13, "Q5_K", {256, 176}},
     {14, "Q6_K", {256, 210}}, {15, "Q8_K", {}},         {16, "IQ2_XXS", {}},
     {17, "IQ2_XS", {}},       {18, "IQ3_XXS", {}},      {19, "IQ1_S", {}},
     {20, "IQ4_NL", {}},       {21, "IQ3_S", {}},        {22, "IQ2_S", {}},
     {23, "IQ4_XS", {}},       {24, "I8", {}},           {25, "I16", {}},
     {26, "I32", {}},          {27, "I64", {}},          {28, "F64", {}},
     {29, "IQ1_M", {}},        {30, "BF16", {1, 2}},     {34, "TQ1_0", {}},
     {35, "TQ2_0", {}},        {39, "MXFP4", {}},        {40, "NVFP4", {}},
     {41, "Q1_0", {}}}};

const TypeRow* FindType(uint32_t type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

absl::Status WrongType(std::string_view key, const char* expected) {
  return Malformed(key, absl::StrCat(ToAbsl(key), " is no ", expected));
}

template <typename T>
absl::StatusOr<T> GetAs(const GgufFile& file, std::string_view key, const char* expected) {
  const auto it = file.values().find(key);
  if (it == file.values().end()) return Malformed(key, absl::StrCat(ToAbsl(key), " is missing"));
  const T* value = std::get_if<T>(&it->second);
  if (value == nullptr) return WrongType(key, expected);
  return *value;
}

}  // namespace

std::string GgmlTypeName(uint32_t type) {
  const TypeRow* row = FindType(type);
  return row != nullptr ? row->name : absl::StrCat("type ", type);
}

GgmlBlock GgmlBlockOf(uint32_t type) {
  const TypeRow* row = FindType(type);
  return row != nullptr ? row->block : GgmlBlock{};
}

int64_t GgufTensor::rows() const {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

int64_t GgufTensor::row_bytes() const {
  const GgmlBlock block = GgmlBlockOf(static_cast<uint32_t>(type));
  return columns() / block.elements * block.bytes;
}

absl::StatusOr<int64_t> GgufFile::GetInt(std::string_view key, int64_t min, int64_t max) const {
  const auto it = values_.find(key);
  if (it == values_.end()) return Malformed(key, absl::StrCat(ToAbsl(key), " is missing"));
  const std::optional<int64_t> value = AsInt(it->second);
  if (!value.has_value()) return WrongType(key, "integer");
  if (*value < min || *value > max) {
    return Malformed(key,
                     absl::StrCat(ToAbsl(key), " is ", *value, ", not in [", min, ", ", max, "]"));
  }
  return *value;
}

absl::StatusOr<double> GgufFile::GetFloat(std::string_view key) const {
  return GetAs<double>(*this, key, "floating-point number");
}

absl::StatusOr<bool> GgufFile::GetBool(std::string_view key) const {
  return GetAs<bool>(*this, key, "boolean");
}

absl::StatusOr<std::string_view> GgufFile::GetString(std::string_view key) const {
  return GetAs<std::string_view>(*this, key, "string");
}

absl::StatusOr<GgufArray> GgufFile::GetArray(std::string_view key) const {
  return GetAs<GgufArray>(*this, key, "array");
}

absl::StatusOr<int64_t> GgufFile::GetCount(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufArray array, GetArray(key));
  return static_cast<int64_t>(array.count);  // below the file's size
}

absl::StatusOr<std::vector<std::string>> GgufFile::GetStrings(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufArray array, GetArray(key));
  if (array.type != gguf_wire::kString) return WrongType(key, "array of strings");
  std::vector<std::string> out;
  out.reserve(array.count);
  const uint8_t* p = array.bytes.data();
  for (uint64_t i = 0; i < array.count; ++i) {
    const auto length = gguf_wire::Load<uint64_t>(p);
    p += sizeof(length);
    out.emplace_back(reinterpret_cast<const char*>(p), length);
    p += length;
  }
  return out;
}

absl::StatusOr<std::vector<float>> GgufFile::GetFloats(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufArray array, GetArray(key));
  if (array.type != gguf_wire::kFloat32) return WrongType(key, "array of float32");
  std::vector<float> out(array.count);
  if (!out.empty()) std::memcpy(out.data(), array.bytes.data(), array.bytes.size());
  return out;
}

absl::StatusOr<std::vector<int64_t>> GgufFile::GetInts(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufArray array, GetArray(key));
  const size_t bytes = gguf_wire::ScalarBytes(array.type);
  if (bytes == 0) return WrongType(key, "array of integers");
  std::vector<int64_t> out;
  out.reserve(array.count);
  for (uint64_t i = 0; i < array.count; ++i) {
    const auto value = AsInt(LoadScalar(array.type, array.bytes.data() + i * bytes));
    if (!value.has_value()) return WrongType(key, "array of integers");
    out.push_back(*value);
  }
  return out;
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it != tensor_index_.end() ? &tensors_[it->second] : nullptr;
}

}  // namespace lamella
