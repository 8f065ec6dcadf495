// How GGUF encodes values: shared by the parser and by GgufFile, of no use elsewhere.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/reasons.h"
#include "common/formats/gguf.h"

namespace lamella::gguf_wire {

enum ValueType : uint32_t {
  kUint8 = 0,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64
};

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }

inline absl::Status Invalid(const char* reason, std::string_view field, std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, field,
                   absl::StrCat("GGUF: ", ToAbsl(message)));
}

inline absl::Status Unsupported(const char* reason, std::string_view field,
                                std::string_view message) {
  return MakeError(absl::StatusCode::kUnimplemented, reason, field,
                   absl::StrCat("GGUF: ", ToAbsl(message)));
}

inline absl::Status Malformed(std::string_view field, std::string_view message) {
  return Invalid(reasons::kMalformedHeader, field, message);
}

// Bytes of a scalar of `type`; 0 for strings, arrays and unknown types.
inline size_t ScalarBytes(uint32_t type) {
  constexpr std::array<size_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kBytes.size() ? kBytes[type] : 0;
}

template <typename T>
T Load(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

// Precondition: `type` is a scalar type and `p` has its bytes.
GgufValue LoadScalar(uint32_t type, const uint8_t* p);

}  // namespace lamella::gguf_wire
