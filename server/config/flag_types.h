// Types of flags that several files define. For server/config alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"
#include "common/base/byte_size.h"

namespace lamella {

// A number of bytes, with suffixes: "512MiB".
struct BytesFlag {
  int64_t value = 0;
};

inline bool AbslParseFlag(absl::string_view text, BytesFlag* out, std::string* error) {
  const auto bytes = ParseByteSize(std::string_view(text.data(), text.size()));
  if (bytes.has_value()) out->value = *bytes;
  if (!bytes.has_value()) *error = "must be a number of bytes such as 1048576, 512MiB or 2GiB";
  return bytes.has_value();
}
inline std::string AbslUnparseFlag(const BytesFlag& bytes) { return FormatByteSize(bytes.value); }

}  // namespace lamella
