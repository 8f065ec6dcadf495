#include "common/formats/gguf_dequant.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lamella {
namespace {

std::vector<uint8_t> FromHex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

nlohmann::json Golden() {
  std::ifstream file(LAMELLA_SOURCE_DIR "/tests/golden/gguf_dequant.json");
  return nlohmann::json::parse(file);
}

class DequantizeBlocksTest : public ::testing::TestWithParam<GgmlType> {};

TEST_P(DequantizeBlocksTest, EqualsTheReferenceDecoderBitForBit) {
  const std::string name = GgmlTypeName(static_cast<uint32_t>(GetParam()));
  const auto golden = Golden().at(name);
  const auto blocks = FromHex(golden.at("blocks"));
  const auto expected_bytes = FromHex(golden.at("values"));
  std::vector<float> expected(expected_bytes.size() / sizeof(float));
  std::memcpy(expected.data(), expected_bytes.data(), expected_bytes.size());
  const GgmlBlock block = GgmlBlockOf(static_cast<uint32_t>(GetParam()));
  const auto elements = static_cast<int64_t>(expected.size());
  ASSERT_EQ(static_cast<int64_t>(blocks.size()), elements / block.elements * block.bytes);
  ASSERT_GT(elements, block.elements);

  std::vector<float> actual(expected.size());
  DequantizeBlocks(GetParam(), blocks, elements, actual.data());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(actual[i]), std::bit_cast<uint32_t>(expected[i]))
        << name << " element " << i << ": " << actual[i] << " is not " << expected[i];
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, DequantizeBlocksTest,
                         ::testing::Values(GgmlType::kF32, GgmlType::kF16, GgmlType::kBF16,
                                           GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4_1,
                                           GgmlType::kQ5_0, GgmlType::kQ5_1, GgmlType::kQ4_K,
                                           GgmlType::kQ5_K, GgmlType::kQ6_K),
                         [](const auto& info) {
                           return GgmlTypeName(static_cast<uint32_t>(info.param));
                         });

TEST(DequantizeRows, PicksTheRowsAskedFor) {
  const auto golden = Golden().at("Q8_0");
  const auto blocks = FromHex(golden.at("blocks"));
  GgufTensor tensor{"w", GgmlType::kQ8_0, {3, 64}, blocks};  // six blocks of 32
  std::vector<float> all(192);
  DequantizeRows(tensor, 0, 3, all.data());
  std::vector<float> some(128);
  DequantizeRows(tensor, 1, 3, some.data());
  EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 64));
}

}  // namespace
}  // namespace lamella
