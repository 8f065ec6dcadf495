// Reads safetensors: an index over bytes that someone else owns. Every offset is checked against
// the real size before anything is read, and whatever is wrong is refused with the tensor's name.
// Not a loader: no file, no copy, no device. Immutable after parsing, so thread-safe.
//
//   0        8          8 + N                                   size
//   +--------+-----------+---------------------------------------+
//   | N, u64 | JSON, N B | tensors, touching, in any order       |
//   +--------+-----------+---------------------------------------+
//   {"__metadata__": {str: str}, NAME: {"dtype", "shape", "data_offsets": [begin, end)}, ...}
//
// Stricter than the reference reader: duplicate and unknown keys, overlaps and holes are refused,
// and so is what is recognisably another format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/formats/dtype.h"
#include "common/formats/mapped_file.h"

namespace lamella {

// What HeaderEnd wants to see of a file: enough to recognise other formats.
inline constexpr uint64_t kSafetensorsHeadBytes = 64;

struct SafetensorsLimits {
  uint64_t max_file_bytes = uint64_t{512} << 20;
  uint64_t max_header_bytes = uint64_t{1} << 20;
  size_t max_tensors = 16384;
  size_t max_rank = 2;
  size_t max_name_bytes = 512;
  bool allow_empty_tensors = false;  // a dimension of 0
  bool float_only = true;            // dtypes F32, F16 and BF16 only

  static SafetensorsLimits Adapter() { return {}; }
  // Base models: larger, up to four dimensions, and any dtype for tensors that nobody reads.
  static SafetensorsLimits BaseModel();
};

struct SafetensorsTensor {
  std::string name;
  DType dtype = DType::kOther;
  std::string dtype_name;      // as the file spells it: "BF16", "F8_E4M3"
  std::vector<int64_t> shape;  // e.g. {8, 576}; {} is a scalar
  uint64_t file_offset = 0;    // of its first byte
  uint64_t size_bytes = 0;
  std::span<const std::byte> data;  // row-major, any alignment; empty after ParseHeader

  // A scalar or a vector is one row; beyond two dimensions, rows are the first and columns the
  // product of the others.
  int64_t rows() const { return shape.size() < 2 ? 1 : shape.front(); }
  int64_t columns() const;
};

class SafetensorsFile {
 public:
  // `bytes` must outlive the result and every span in it. INVALID_ARGUMENT: TRUNCATED (names offset
  // and size), MALFORMED_HEADER, DUPLICATE_KEY, LIMIT_EXCEEDED, UNSUPPORTED_DTYPE,
  // UNSUPPORTED_FORMAT (pickle, zip, GGUF, Git LFS pointer: says how to convert). The field is the
  // tensor's name where there is one.
  static absl::StatusOr<SafetensorsFile> Parse(std::span<const std::byte> bytes,
                                               const SafetensorsLimits& limits);
  // For files that arrive in pieces. Where the header ends, from the file's first
  // min(file_bytes, kSafetensorsHeadBytes) bytes; errors as Parse.
  static absl::StatusOr<uint64_t> HeaderEnd(std::span<const std::byte> head, uint64_t file_bytes,
                                            const SafetensorsLimits& limits);
  // As Parse, of a file of `file_bytes` bytes whose first HeaderEnd bytes are `head`; `head` may go.
  static absl::StatusOr<SafetensorsFile> ParseHeader(std::span<const std::byte> head,
                                                     uint64_t file_bytes,
                                                     const SafetensorsLimits& limits);
  // As Parse, keeping `file` alive.
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Open(
      std::shared_ptr<const MappedFile> file, const SafetensorsLimits& limits);

  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  // In the order of their data.
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }
  // Null if there is none. Pointers stay valid as long as the file object (moved or not) lives.
  const SafetensorsTensor* Find(std::string_view name) const;

 private:
  friend class SafetensorsParser;
  SafetensorsFile() = default;

  std::vector<SafetensorsTensor> tensors_;
  std::vector<std::pair<std::string, std::string>> metadata_;
  std::unordered_map<std::string_view, size_t> index_;  // views into tensors_' names
  std::shared_ptr<const MappedFile> file_;              // null after Parse
};

// Converts rows [row_begin, row_end) to fp32: (row_end - row_begin) * columns() floats to `out`.
// INVALID_ARGUMENT (UNSUPPORTED_DTYPE) for other dtypes than F32, F16, BF16; OUT_OF_RANGE
// (OUT_OF_RANGE) for rows that the tensor does not have.
absl::Status ReadAsFloat(const SafetensorsTensor& tensor, int64_t row_begin, int64_t row_end,
                         float* out);

}  // namespace lamella
