// Every family of the decoder, with and without an adapter, against an independent fp64 decoder.
#include "server/model/decoder_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/model_fixture.h"
#include "tests/model/reference_decoder.h"

namespace lamella::testing {
namespace {

using kernels::WeightType;

constexpr int32_t kTokens = 41;
constexpr int32_t kDecoded = 18;

double LargestDifference(const std::vector<std::vector<float>>& logits,
                         const std::vector<std::vector<double>>& expected) {
  double largest = 0;
  const size_t skipped = expected.size() - logits.size();
  for (size_t row = 0; row < logits.size(); ++row) {
    for (size_t i = 0; i < logits[row].size(); ++i) {
      const double difference = std::abs(logits[row][i] - expected[skipped + row][i]);
      if (!(difference <= largest)) largest = difference;  // NaN stays
    }
  }
  return largest;
}

class DecoderModelTest : public ::testing::TestWithParam<std::string> {
 protected:
  void ExpectMatches(WeightType dtype, bool with_adapter, double tolerance) {
    const TinySource source(TinyConfig(GetParam()), 11);
    const auto tokens = TinyTokens(source.config(), kTokens, 5);
    const BaseSpec base = MakeBaseSpec(source.config(), source.fingerprint());
    const TinyAdapter adapter = MakeTinyAdapter(base, 3);
    const auto expected = ReferenceLogits(source, tokens, with_adapter ? &adapter : nullptr);
    for (const kernels::Isa isa : AvailableIsas()) {
      SCOPED_TRACE(kernels::IsaName(isa));
      const auto executor = MakeExecutor(source, TinyOptions(isa, dtype, 2));
      ASSERT_NE(executor, nullptr);
      const auto packed = PackTinyAdapter(adapter, base, executor->kernel_table());
      const auto logits =
          LogitsAlone(executor.get(), tokens, with_adapter ? packed.get() : nullptr, kDecoded, 9);
      ASSERT_EQ(logits.size(), size_t{kDecoded});
      EXPECT_LE(LargestDifference(logits, expected), tolerance);
    }
  }
};

TEST_P(DecoderModelTest, Float32BaseMatchesAnIndependentDecoder) {
  ExpectMatches(WeightType::kF32, false, 1e-4);
}

TEST_P(DecoderModelTest, Float32AdapterMatchesAnIndependentDecoder) {
  ExpectMatches(WeightType::kF32, true, 1e-4);
}

// Weights are exact in bfloat16; the rest is the rounding of the KV cache, of adapters, and, where
// the ISA multiplies in it, of activations.
TEST_P(DecoderModelTest, BFloat16BaseIsCloseToAnIndependentDecoder) {
  ExpectMatches(WeightType::kBF16, false, 0.15);
}

TEST_P(DecoderModelTest, BFloat16AdapterIsCloseToAnIndependentDecoder) {
  ExpectMatches(WeightType::kBF16, true, 0.15);
}

TEST_P(DecoderModelTest, AdapterChangesTheAnswer) {
  const TinySource source(TinyConfig(GetParam()), 11);
  const auto tokens = TinyTokens(source.config(), kTokens, 5);
  const TinyAdapter adapter =
      MakeTinyAdapter(MakeBaseSpec(source.config(), source.fingerprint()), 3);
  const auto base = ReferenceLogits(source, tokens, nullptr);
  const auto changed = ReferenceLogits(source, tokens, &adapter);
  double largest = 0;
  for (size_t i = 0; i < base.back().size(); ++i) {
    largest = std::max(largest, std::abs(base.back()[i] - changed.back()[i]));
  }
  EXPECT_GT(largest, 0.5);
}

INSTANTIATE_TEST_SUITE_P(Families, DecoderModelTest, ::testing::ValuesIn(TinyModelNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lamella::testing
