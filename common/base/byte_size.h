// Numbers of bytes as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lamella {

// "1048576", "512MiB", "64K", "2g": K, M, G and T are powers of 1024, with or without "iB" or "B".
// Nothing for anything else, negative numbers and what overflows.
std::optional<int64_t> ParseByteSize(std::string_view text);

// The shortest of its spellings that is exact: "512MiB", "1000".
std::string FormatByteSize(int64_t bytes);

}  // namespace lamella
