// Builds small GGUF files in memory for tests, well-formed or deliberately not.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/formats/gguf.h"

namespace lamella::testing {

class GgufWriter {
 public:
  template <typename T>
  static void Put(std::string* out, T value) {
    out->append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  static void PutString(std::string* out, std::string_view text) {
    Put<uint64_t>(out, text.size());
    out->append(text);
  }

  GgufWriter& U32(std::string_view key, uint32_t v) { return Scalar(key, 4, v); }
  GgufWriter& I32(std::string_view key, int32_t v) { return Scalar(key, 5, v); }
  GgufWriter& F32(std::string_view key, float v) { return Scalar(key, 6, v); }
  GgufWriter& U64(std::string_view key, uint64_t v) { return Scalar(key, 10, v); }
  GgufWriter& Bool(std::string_view key, bool v) {
    return Scalar(key, 7, static_cast<uint8_t>(v ? 1 : 0));
  }
  GgufWriter& String(std::string_view key, std::string_view v) {
    std::string value;
    PutString(&value, v);
    return Raw(key, 8, value);
  }
  GgufWriter& Strings(std::string_view key, const std::vector<std::string>& v) {
    std::string value = ArrayHead(8, v.size());
    for (const auto& text : v) PutString(&value, text);
    return Raw(key, 9, value);
  }
  GgufWriter& Floats(std::string_view key, const std::vector<float>& v) {
    std::string value = ArrayHead(6, v.size());
    for (const float number : v) Put(&value, number);
    return Raw(key, 9, value);
  }
  GgufWriter& Ints(std::string_view key, const std::vector<int32_t>& v) {
    std::string value = ArrayHead(5, v.size());
    for (const int32_t number : v) Put(&value, number);
    return Raw(key, 9, value);
  }
  // A pair with an arbitrary type and encoded value.
  GgufWriter& Raw(std::string_view key, uint32_t type, std::string_view value) {
    std::string pair;
    PutString(&pair, key);
    Put(&pair, type);
    pair.append(value);
    pairs_.emplace_back(key, std::move(pair));
    return *this;
  }
  GgufWriter& Drop(std::string_view key) {
    std::erase_if(pairs_, [&](const auto& pair) { return pair.first == key; });
    return *this;
  }

  // `shape` outermost first. `data` is stored as it is.
  GgufWriter& Tensor(std::string_view name, uint32_t type, const std::vector<int64_t>& shape,
                     std::string_view data) {
    tensors_.push_back({std::string(name), type, shape, std::string(data)});
    return *this;
  }
  GgufWriter& TensorF32(std::string_view name, const std::vector<int64_t>& shape,
                        const std::vector<float>& values) {
    return Tensor(name, 0, shape,
                  std::string_view(reinterpret_cast<const char*>(values.data()),
                                   values.size() * sizeof(float)));
  }
  GgufWriter& DropTensor(std::string_view name) {
    std::erase_if(tensors_, [&](const auto& tensor) { return tensor.name == name; });
    return *this;
  }

  std::string Build() const {
    std::string out = "GGUF";
    Put<uint32_t>(&out, 3);
    Put<uint64_t>(&out, tensors_.size());
    Put<uint64_t>(&out, pairs_.size());
    for (const auto& pair : pairs_) out += pair.second;
    uint64_t offset = 0;
    for (const auto& tensor : tensors_) {
      PutString(&out, tensor.name);
      Put(&out, static_cast<uint32_t>(tensor.shape.size()));
      for (size_t i = tensor.shape.size(); i-- > 0;) {
        Put(&out, static_cast<uint64_t>(tensor.shape[i]));
      }
      Put(&out, tensor.type);
      Put(&out, offset);
      offset += Padded(tensor.data.size());
    }
    out.resize(Padded(out.size()), '\0');
    for (const auto& tensor : tensors_) {
      out += tensor.data;
      out.resize(Padded(out.size()), '\0');
    }
    return out;
  }

 private:
  struct Entry {
    std::string name;
    uint32_t type;
    std::vector<int64_t> shape;
    std::string data;
  };

  static size_t Padded(size_t bytes) { return (bytes + 31) / 32 * 32; }
  static std::string ArrayHead(uint32_t type, uint64_t count) {
    std::string head;
    Put(&head, type);
    Put(&head, count);
    return head;
  }
  template <typename T>
  GgufWriter& Scalar(std::string_view key, uint32_t type, T v) {
    std::string value;
    Put(&value, v);
    return Raw(key, type, value);
  }

  std::vector<std::pair<std::string, std::string>> pairs_;  // key and the encoded pair
  std::vector<Entry> tensors_;
};

inline std::span<const uint8_t> GgufBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace lamella::testing
