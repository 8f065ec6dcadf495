// Element types of tensors in files and in memory.
#pragma once

#include <cstddef>
#include <string_view>

namespace lamella {

enum class DType { kF32, kF16, kBF16, kI64, kOther };

// Bytes of one element; 0 for kOther.
constexpr size_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 4;
    case DType::kF16:
      return 2;
    case DType::kBF16:
      return 2;
    case DType::kI64:
      return 8;
    case DType::kOther:
      return 0;
  }
  return 0;
}

// "F32", "F16", "BF16", "I64" as safetensors writes them.
constexpr std::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kI64:
      return "I64";
    case DType::kOther:
      return "OTHER";
  }
  return "OTHER";
}

}  // namespace lamella
