// Builds safetensors files and PEFT adapters for tests, well-formed or deliberately not.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/formats/bf16.h"
#include "common/formats/dtype.h"

namespace lamella::testing {

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Eight bytes of header length, the header, the data.
inline std::string SafetensorsBytes(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), sizeof(length));
  out.append(header);
  out.append(data);
  return out;
}

// A well-formed file, tensor by tensor.
class SafetensorsWriter {
 public:
  // `values` is row-major and has as many elements as `shape` says.
  SafetensorsWriter& Add(std::string_view name, const std::vector<int64_t>& shape,
                         const std::vector<float>& values, DType dtype = DType::kF32) {
    const size_t begin = data_.size();
    for (const float value : values) Append(value, dtype);
    return Entry(name, DTypeName(dtype), shape, begin);
  }
  // Every element the same.
  SafetensorsWriter& Fill(std::string_view name, const std::vector<int64_t>& shape, float value,
                          DType dtype = DType::kF32) {
    int64_t elements = 1;
    for (const int64_t n : shape) elements *= n;
    return Add(name, shape, std::vector<float>(static_cast<size_t>(elements), value), dtype);
  }
  // A tensor of any dtype, spelled as the file does, over raw bytes.
  SafetensorsWriter& Raw(std::string_view name, std::string_view dtype,
                         const std::vector<int64_t>& shape, std::string_view bytes) {
    const size_t begin = data_.size();
    data_.append(bytes);
    return Entry(name, dtype, shape, begin);
  }

  std::string Bytes() const {
    return SafetensorsBytes(absl::StrCat("{", absl::StrJoin(entries_, ","), "}"), data_);
  }

 private:
  void Append(float value, DType dtype) {
    if (dtype == DType::kF32) {
      data_.append(reinterpret_cast<const char*>(&value), sizeof(value));
      return;
    }
    const uint16_t bits = dtype == DType::kBF16 ? FloatToBf16(value) : FloatToHalf(value);
    data_.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
  }
  SafetensorsWriter& Entry(std::string_view name, std::string_view dtype,
                           const std::vector<int64_t>& shape, size_t begin) {
    entries_.push_back(absl::StrCat("\"", std::string(name), "\":{\"dtype\":\"", std::string(dtype),
                                    "\",\"shape\":[", absl::StrJoin(shape, ","),
                                    "],\"data_offsets\":[", begin, ",", data_.size(), "]}"));
    return *this;
  }

  std::vector<std::string> entries_;
  std::string data_;
};

// A folder of its own for one test, removed with it.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "lamella-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string path() const { return path_.string(); }
  // Makes the folders above `relative` too; returns the file's path.
  std::string Write(std::string_view relative, std::string_view content) const {
    const std::filesystem::path file = path_ / relative;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary)
        .write(content.data(), static_cast<std::streamsize>(content.size()));
    return file.string();
  }

 private:
  std::filesystem::path path_;
};

// A PEFT adapter: config text and weights file.
//
//   PeftAdapter().Module("model.layers.0.self_attn.q_proj", 8, 576, 576).WriteTo(dir, "mine");
struct PeftAdapter {
  std::string config_json = R"({"peft_type":"LORA","task_type":"CAUSAL_LM","r":8,"lora_alpha":16})";
  SafetensorsWriter weights;

  PeftAdapter& Config(std::string_view json) {
    config_json = json;
    return *this;
  }
  // A and B of one module, constant.
  PeftAdapter& Module(std::string_view path, int64_t rank, int64_t in, int64_t out, float a = 0.01F,
                      float b = 0.02F, DType dtype = DType::kF32) {
    weights.Fill(TensorName(path, "lora_A"), {rank, in}, a, dtype);
    weights.Fill(TensorName(path, "lora_B"), {out, rank}, b, dtype);
    return *this;
  }
  void WriteTo(const TempDir& dir, std::string_view name) const {
    dir.Write(absl::StrCat(std::string(name), "/adapter_config.json"), config_json);
    dir.Write(absl::StrCat(std::string(name), "/adapter_model.safetensors"), weights.Bytes());
  }

  // "base_model.model.<path>.<side>.weight"
  static std::string TensorName(std::string_view path, std::string_view side) {
    return absl::StrCat("base_model.model.", std::string(path), ".", std::string(side), ".weight");
  }
};

}  // namespace lamella::testing
