// GGUF, the container of llama.cpp (versions 2 and 3, little-endian): a directory of metadata and
// tensors over bytes that somebody else keeps. Parsing checks every count, length, offset and
// product once, so that what is handed out afterwards is in bounds. It knows the container only:
// what keys and tensors mean is for server/model. Immutable after parsing: thread-safe. Views point
// into the bytes, which must outlive the file object.
//
//   "GGUF" | u32 version | u64 tensors | u64 pairs
//   pairs:    string key | u32 type | value     (string: u64 length, bytes; array: u32 type, u64 n)
//   tensors:  string name | u32 dims | u64 size x dims, innermost first | u32 type | u64 offset
//   padding to general.alignment (32 if absent) | data; offsets count from here
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace lamella {

// Element and block types that can be decoded; values are the file's.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

// "Q4_K" and so on, also for types that cannot be decoded; "type 99" for numbers without a name.
std::string GgmlTypeName(uint32_t type);

// Elements and bytes of one block; {0, 0} for types that cannot be decoded.
struct GgmlBlock {
  int64_t elements = 0;
  int64_t bytes = 0;
};
GgmlBlock GgmlBlockOf(uint32_t type);

struct GgufTensor {
  std::string name;  // as in the file: "blk.0.attn_q.weight"
  GgmlType type = GgmlType::kF32;
  std::vector<int64_t> shape;  // outermost first, as numpy and Hugging Face count; 1 to 4 sizes > 0
  std::span<const uint8_t> data;

  int64_t columns() const { return shape.back(); }
  int64_t rows() const;       // product of all but the last size
  int64_t row_bytes() const;  // bytes of one row of blocks
};

// An array of scalars or strings, still encoded. Nested arrays are refused when parsing.
struct GgufArray {
  uint32_t type = 0;
  uint64_t count = 0;
  std::span<const uint8_t> bytes;
};

using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

class GgufFile {
 public:
  // INVALID_ARGUMENT with TRUNCATED, MALFORMED_HEADER, DUPLICATE_KEY or LIMIT_EXCEEDED;
  // UNIMPLEMENTED with UNSUPPORTED_FORMAT (not GGUF, another version or byte order) or
  // UNSUPPORTED_DTYPE naming the tensor and its type.
  static absl::StatusOr<GgufFile> Parse(std::span<const uint8_t> bytes);

  bool Has(std::string_view key) const { return values_.contains(key); }

  // INVALID_ARGUMENT with MALFORMED_HEADER naming the key if it is absent, of another type, or (for
  // integers) outside [min, max]. Any width of integer, and for GetFloat of float, is taken.
  absl::StatusOr<int64_t> GetInt(std::string_view key, int64_t min, int64_t max) const;
  absl::StatusOr<double> GetFloat(std::string_view key) const;
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string_view> GetString(std::string_view key) const;
  absl::StatusOr<std::vector<std::string>> GetStrings(std::string_view key) const;
  absl::StatusOr<std::vector<float>> GetFloats(std::string_view key) const;
  absl::StatusOr<std::vector<int64_t>> GetInts(std::string_view key) const;
  // Length of an array of any type.
  absl::StatusOr<int64_t> GetCount(std::string_view key) const;

  const std::map<std::string, GgufValue, std::less<>>& values() const { return values_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  // nullptr if there is none.
  const GgufTensor* FindTensor(std::string_view name) const;

 private:
  friend class GgufParser;
  absl::StatusOr<GgufArray> GetArray(std::string_view key) const;

  std::map<std::string, GgufValue, std::less<>> values_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
};

}  // namespace lamella
