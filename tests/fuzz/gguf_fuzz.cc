// Parses bytes as a GGUF file and, where that succeeds, as a model: reads configuration, vocabulary
// and every row of every tensor. Whatever the bytes are, all of it must end in a status.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/formats/gguf_dequant.h"
#include "server/model/gguf_config.h"
#include "server/model/gguf_source.h"

namespace {

constexpr int64_t kMaxColumns = int64_t{1} << 20;

void ReadTensors(const lamella::GgufFile& file) {
  std::vector<float> row;
  for (const lamella::GgufTensor& tensor : file.tensors()) {
    if (tensor.columns() > kMaxColumns) continue;
    row.resize(static_cast<size_t>(tensor.columns()));
    lamella::DequantizeRows(tensor, tensor.rows() - 1, tensor.rows(), row.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  const auto file = lamella::GgufFile::Parse(bytes);
  if (!file.ok()) return 0;
  ReadTensors(*file);
  (void)lamella::ParseGgufConfig(*file).ok();
  (void)lamella::ReadGgufTokenizerData(*file).ok();
  (void)lamella::GgufSource::FromBytes(bytes, nullptr).ok();
  return 0;
}
