#include "server/model/base_fingerprint.h"

#include <gtest/gtest.h>

#include "common/formats/digest.h"
#include "server/model/gguf_source.h"
#include "tests/testing/tiny_gguf.h"

namespace lamella {
namespace {

using testing::GgufWriter;
using testing::TinyLlama;

std::string Fingerprint(const GgufWriter& writer) {
  auto bytes = std::make_shared<const std::string>(writer.Build());
  const auto source = GgufSource::FromBytes(testing::GgufBytes(*bytes), bytes);
  EXPECT_TRUE(source.ok()) << source.status();
  return source.ok() ? (*source)->fingerprint() : "";
}

TEST(BaseFingerprint, IsTheSameForTheSameModel) {
  EXPECT_TRUE(IsLowerHex(Fingerprint(TinyLlama())));
  EXPECT_EQ(Fingerprint(TinyLlama()), Fingerprint(TinyLlama()));
  // Names and texts of a file are no part of the model, nor is the order of its tensors.
  auto other = TinyLlama().Drop("general.name").String("general.name", "other");
  const auto norm = testing::Ramp(8, 1000);
  other.DropTensor("output_norm.weight").TensorF32("output_norm.weight", {8}, norm);
  EXPECT_EQ(Fingerprint(other), Fingerprint(TinyLlama()));
}

TEST(BaseFingerprint, ChangesWithEachTensorsValues) {
  auto values = testing::Ramp(8, 1000);
  values[5] += 1;
  auto other = TinyLlama();
  other.DropTensor("output_norm.weight").TensorF32("output_norm.weight", {8}, values);
  EXPECT_NE(Fingerprint(other), Fingerprint(TinyLlama()));
}

TEST(BaseFingerprint, ChangesWithTheStoredType) {
  auto other = TinyLlama();
  const auto values = testing::Ramp(8, 1024);  // exact in half precision
  other.DropTensor("output_norm.weight").TensorF32("output_norm.weight", {8}, values);
  const std::string single = Fingerprint(other);
  std::string half;
  for (uint16_t i = 0; i < 8; ++i) {
    GgufWriter::Put(&half, static_cast<uint16_t>(0x6400 + i));
  }
  other.DropTensor("output_norm.weight").Tensor("output_norm.weight", 1, {8}, half);
  EXPECT_NE(Fingerprint(other), single);
}

TEST(BaseFingerprint, ChangesWithTheConfiguration) {
  auto other = TinyLlama().Drop("llama.rope.freq_base").F32("llama.rope.freq_base", 10001);
  EXPECT_NE(Fingerprint(other), Fingerprint(TinyLlama()));
}

}  // namespace
}  // namespace lamella
