// Reads the members of a safetensors header one by one, by hand where they are spelled as every
// writer spells them, by the strict JSON parser where not, and checks what each says by itself.
// For SafetensorsFile::Parse; immutable, so thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/formats/json.h"
#include "common/formats/json_cursor.h"
#include "common/formats/safetensors.h"

namespace lamella {
namespace safetensors {

absl::Status Refuse(const char* reason, std::string_view field, const std::string& message);
absl::Status RefuseHeader(std::string_view field, const std::string& message);
absl::Status Malformed(size_t byte);
std::string Tensor(std::string_view name);

}  // namespace safetensors

class SafetensorsMembers {
 public:
  // `header` is borrowed; the tensors' data begin at `data_begin` of a file of `file_bytes`.
  SafetensorsMembers(std::string_view header, uint64_t file_bytes, uint64_t data_begin,
                     const SafetensorsLimits& limits)
      : header_(header), file_bytes_(file_bytes), data_begin_(data_begin), limits_(limits) {}

  // Errors of all as SafetensorsFile::Parse. The cursor goes to the end of what was read.
  absl::Status ReadName(JsonCursor* cursor, std::string* name) const;
  // All of the tensor of tensor->name but its data. What it held before is overwritten, so that one
  // that is used again costs no allocation.
  absl::Status ReadTensor(JsonCursor* cursor, SafetensorsTensor* tensor) const;
  // A value that lies in the header.
  absl::StatusOr<JsonValue> ParseStrictly(std::string_view text) const;

 private:
  struct Offsets {
    int64_t begin = -1;
    int64_t end = -1;
  };

  absl::StatusOr<JsonValue> ReadStrictly(JsonCursor* cursor) const;
  bool ReadPlainFields(JsonCursor* cursor, SafetensorsTensor* tensor, Offsets* offsets) const;
  bool ReadPlainShape(JsonCursor* at, SafetensorsTensor* tensor) const;
  static bool ReadPlainOffsets(JsonCursor* at, Offsets* offsets);
  absl::Status ReadFields(JsonCursor* cursor, SafetensorsTensor* tensor, Offsets* offsets) const;
  absl::Status ReadShape(const JsonValue& value, SafetensorsTensor* tensor) const;

  int64_t SmallestDimension() const { return limits_.allow_empty_tensors ? 0 : 1; }
  absl::Status BadDimension(std::string_view name, const std::string& dim) const;
  absl::StatusOr<uint64_t> CheckDType(SafetensorsTensor* tensor) const;
  absl::StatusOr<uint64_t> CheckShape(const SafetensorsTensor& tensor) const;
  absl::Status CheckOffsets(const Offsets& offsets, SafetensorsTensor* tensor) const;

  const std::string_view header_;
  const uint64_t file_bytes_;
  const uint64_t data_begin_;
  const SafetensorsLimits limits_;
};

}  // namespace lamella
