// Real base models against values that the Python package gguf 0.19.0 decoded from the same files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <set>
#include <sstream>

#include "server/model/hf_config.h"
#include "server/model/tensor_table.h"
#include "server/model/weight_source.h"
#include "tests/testing/model_files.h"

namespace lamella {
namespace {

std::unique_ptr<WeightSource> Open(const testing::ModelFile& file) {
  auto source = OpenWeightSource(file.path);
  EXPECT_TRUE(source.ok()) << source.status();
  return source.ok() ? std::move(*source) : nullptr;
}

void ExpectRowBegins(const WeightSource& source, const char* name, int64_t row,
                     const std::array<float, 4>& expected) {
  for (const WeightInfo& info : source.tensors()) {
    if (info.name != name) continue;
    std::vector<float> out(static_cast<size_t>(info.columns()));
    ASSERT_TRUE(source.ReadRows(name, row, row + 1, out.data()).ok());
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(out[i], expected[i]) << name << " " << i;
    return;
  }
  ADD_FAILURE() << "no tensor " << name;
}

// The configuration of the folder that the same model was published as.
ModelConfig Published(const char* name) {
  std::ifstream file(std::string(LAMELLA_SOURCE_DIR "/tests/golden/configs/") + name);
  std::ostringstream text;
  text << file.rdbuf();
  const auto config = ParseHfConfig(text.str());
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig{};
}

std::set<std::string> Dtypes(const WeightSource& source) {
  std::set<std::string> out;
  for (const WeightInfo& info : source.tensors()) out.insert(info.dtype);
  return out;
}

TEST(WeightSourceModels, SmolLm2) {
  const auto file = testing::SmolLm2File();
  if (!file.there) GTEST_SKIP() << file.Missing();
  const auto source = Open(file);
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->config(), Published("smollm2-135m-instruct.json"));
  EXPECT_EQ(source->tensors().size(), 272U);
  EXPECT_THAT(Dtypes(*source), ::testing::ElementsAre("F32", "Q4_1", "Q8_0"));
  ExpectRowBegins(*source, "model.embed_tokens.weight", 7,
                  {-0x1.06p-7F, -0x1.478p-5F, -0x1.478p-5F, 0x1.06p-6F});
  // Rows 2 and 1 of the file: a head's pairs stand side by side there.
  ExpectRowBegins(*source, "model.layers.0.self_attn.q_proj.weight", 1,
                  {-0x1.46p-3F, 0x1.978p-2F, -0x1.46p-6F, -0x1.46p+0F});
  ExpectRowBegins(*source, "model.layers.0.self_attn.q_proj.weight", 32,
                  {-0x1.e08p-4F, -0x1.e08p-4F, -0x1.8aep-3F, 0x1.0a7p-2F});
  ExpectRowBegins(*source, "model.layers.0.self_attn.k_proj.weight", 33,
                  {-0x1.96p-4F, 0x1.d62p-3F, -0x1.d84p-3F, -0x1.72cp-2F});
  ExpectRowBegins(*source, "model.layers.0.self_attn.o_proj.weight", 9,
                  {0x1.56p-9F, 0x1.6f8p-6F, 0x1.6f8p-6F, 0x1.5a2p-5F});
  ExpectRowBegins(*source, "model.layers.3.mlp.down_proj.weight", 5,
                  {0x1.6b4p-4F, 0x1.c8p-7F, -0x1.f28p-5F, 0x1.4ecp-3F});
  ExpectRowBegins(*source, "model.layers.0.input_layernorm.weight", 0,
                  {0x1.cap-7F, 0x1.86p-6F, -0x1.44p-6F, -0x1.fp-6F});
  const auto vocabulary = source->ReadGgufTokenizer();
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->tokens.size(), 49152U);
  EXPECT_EQ(vocabulary->merges.size(), 48900U);
  EXPECT_EQ(vocabulary->pre, "smollm");
}

TEST(WeightSourceModels, Gemma) {
  const auto file = testing::GemmaFile();
  if (!file.there) GTEST_SKIP() << file.Missing();
  const auto source = Open(file);
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->config(), Published("gemma-3-270m.json"));
  EXPECT_EQ(source->tensors().size(), 236U);
  EXPECT_THAT(Dtypes(*source), ::testing::ElementsAre("F32", "Q4_K", "Q5_0", "Q6_K", "Q8_0"));
  ExpectRowBegins(*source, "model.embed_tokens.weight", 7,
                  {-0x1.9398p-8F, 0x1.71f6p-5F, -0x1.d6dcp-5F, 0x1.0d1p-7F});
  ExpectRowBegins(*source, "model.layers.0.self_attn.q_proj.weight", 1,
                  {0x1.bcp-9F, -0x1.4dp-6F, -0x1.f38p-6F, -0x1.bcp-8F});
  ExpectRowBegins(*source, "model.layers.0.self_attn.o_proj.weight", 9,
                  {0x1.07b8p-7F, -0x1.b4d4p-6F, 0x1.173p-5F, 0x1.07b8p-7F});
  ExpectRowBegins(*source, "model.layers.0.mlp.down_proj.weight", 5,
                  {-0x1.82d5p-7F, -0x1.4b92p-7F, 0.0F, -0x1.144fp-8F});
  ExpectRowBegins(*source, "model.layers.3.mlp.down_proj.weight", 5,
                  {0x1.6029p-6F, 0x1.51a4p-7F, 0x1.047d8p-6F, -0x1.d0ap-11F});
  // Stored as 1 + w, which is what the decoder multiplies by.
  ExpectRowBegins(*source, "model.layers.0.input_layernorm.weight", 0,
                  {0x1p+4F, 0x1.0ep+4F, 0x1.5ap+3F, 0x1.4cp+5F});
  const auto vocabulary = source->ReadGgufTokenizer();
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  EXPECT_EQ(vocabulary->tokens.size(), 262144U);
  EXPECT_TRUE(vocabulary->add_bos);
  EXPECT_FALSE(vocabulary->add_space_prefix);
}

}  // namespace
}  // namespace lamella
