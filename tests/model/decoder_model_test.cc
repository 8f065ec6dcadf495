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

// The weights that `table` multiplies with, in place of those of the source.
void RoundTensor(const kernels::KernelTable& table, const WeightInfo& info, TinySource* source) {
  if (info.shape.size() != 2) return;
  std::vector<float>& w = source->mutable_values(info.name);
  const int64_t n = info.shape[0];
  const int64_t k = info.shape[1];
  std::vector<std::byte> packed(table.packed_linear_bytes(n, k));
  table.pack_linear(w.data(), 0, n, n, k, packed.data());
  for (int64_t row = 0; row < n; ++row) {
    table.unpack_row(packed.data(), n, k, row, w.data() + row * k);
  }
}

// Over its own rounded weights the decoder of a quantized base is as exact as any: what is left is
// the rounding of activations to 16 bits.
TEST_P(DecoderModelTest, QuantizedBaseMatchesAnIndependentDecoderOverItsWeights) {
  using kernels::Quantization;
  for (const Quantization quantization : {Quantization::kInt8, Quantization::kInt4}) {
    SCOPED_TRACE(kernels::QuantizationName(quantization));
    const TinySource source(TinyConfig(GetParam()), 11);
    TinySource rounded(TinyConfig(GetParam()), 11);
    for (const WeightInfo& info : source.tensors()) {
      const bool is_head = info.name.find("embed_tokens") != std::string::npos ||
                           info.name.find("lm_head") != std::string::npos;
      RoundTensor(*kernels::GetKernelTable(kernels::Isa::kReference, WeightType::kF32,
                                           is_head ? Quantization::kInt8 : quantization),
                  info, &rounded);
    }
    const auto tokens = TinyTokens(source.config(), kTokens, 5);
    const BaseSpec base = MakeBaseSpec(source.config(), source.fingerprint());
    const TinyAdapter adapter = MakeTinyAdapter(base, 3);
    const auto expected = ReferenceLogits(rounded, tokens, &adapter);
    for (const kernels::Isa isa : AvailableIsas()) {
      SCOPED_TRACE(kernels::IsaName(isa));
      CpuExecutorOptions options = TinyOptions(isa, WeightType::kF32, 2);
      options.base_quant = quantization;
      const auto executor = MakeExecutor(source, options);
      ASSERT_NE(executor, nullptr);
      const auto packed = PackTinyAdapter(adapter, base, executor->kernel_table());
      const auto logits = LogitsAlone(executor.get(), tokens, packed.get(), kDecoded, 9);
      EXPECT_LE(LargestDifference(logits, expected), 2e-3);
    }
  }
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
