// Law 2: neighbours don't matter. Logits are compared bit by bit, for every family, ISA and dtype,
// and on quantized bases.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "tests/model/model_fixture.h"

namespace lamella::testing {
namespace {

using kernels::Isa;
using kernels::MatmulPrecision;
using kernels::Quantization;
using kernels::WeightType;

constexpr int32_t kDecoded = 12;

using Rows = std::vector<std::vector<float>>;

void ExpectSameBits(const Rows& expected, const Rows& actual) {
  ASSERT_EQ(expected.size(), actual.size());
  for (size_t row = 0; row < expected.size(); ++row) {
    ASSERT_EQ(expected[row].size(), actual[row].size());
    EXPECT_EQ(
        std::memcmp(expected[row].data(), actual[row].data(), expected[row].size() * sizeof(float)),
        0)
        << "row " << row;
  }
}

using Parameter = std::tuple<std::string, Isa, WeightType, Quantization, MatmulPrecision>;

class DecoderLawTest : public ::testing::TestWithParam<Parameter> {
 protected:
  DecoderLawTest() : source_(TinyConfig(std::get<0>(GetParam())), 21) {
    executor_ = MakeExecutor(source_, Options(1));
    for (uint32_t seed = 1; seed <= 3; ++seed) {
      adapters_.push_back(PackTinyAdapter(MakeTinyAdapter(executor_->base_spec(), seed),
                                          executor_->base_spec(), executor_->kernel_table()));
    }
    for (int32_t i = 0; i < 6; ++i) {
      prompts_.push_back(TinyTokens(source_.config(), 17 + 9 * i, 100 + static_cast<uint32_t>(i)));
    }
  }

  static CpuExecutorOptions Options(int32_t threads) {
    CpuExecutorOptions options =
        TinyOptions(std::get<1>(GetParam()), std::get<2>(GetParam()), threads);
    options.base_quant = std::get<3>(GetParam());
    options.precision = std::get<4>(GetParam());
    return options;
  }

  // Two base sequences, and four that share three adapters.
  const AdapterWeights* AdapterOf(int32_t sequence) const {
    return sequence % 3 == 0 ? nullptr : adapters_[static_cast<size_t>(sequence) % 4 % 3].get();
  }

  Rows Alone(CpuExecutor* executor, int32_t sequence, int32_t chunk, uint32_t seed = 0) const {
    return LogitsAlone(executor, prompts_[static_cast<size_t>(sequence)], AdapterOf(sequence),
                       kDecoded, chunk, seed);
  }

  // All sequences at once; in a step each takes `chunk` rows of its prompt or one row of decode, so
  // prefill and decode mix as the lengths differ. Result by sequence.
  std::vector<Rows> Mixed(CpuExecutor* executor, int32_t chunk, bool reversed) const {
    StepDriver driver(executor, 7);
    const auto count = static_cast<int32_t>(prompts_.size());
    for (int32_t i = 0; i < count; ++i) {
      driver.Add(prompts_[static_cast<size_t>(i)], AdapterOf(i));
    }
    std::vector<Rows> result(prompts_.size());
    while (true) {
      std::vector<Feed> feeds;
      for (int32_t i = 0; i < count; ++i) {
        const int32_t pending = driver.pending(i);
        if (pending == 0) continue;
        const bool decode = pending <= kDecoded;
        feeds.push_back({i, decode ? 1 : std::min(chunk, pending - kDecoded), decode});
      }
      if (feeds.empty()) return result;
      if (reversed) std::reverse(feeds.begin(), feeds.end());
      EXPECT_TRUE(driver.Step(feeds).ok());
      size_t index = 0;
      for (const Feed& feed : feeds) {
        if (!feed.sample) continue;
        const auto logits = driver.logits(index++);
        result[static_cast<size_t>(feed.sequence)].emplace_back(logits.begin(), logits.end());
      }
    }
  }

  void ExpectMixedEqualsAlone(CpuExecutor* executor, int32_t chunk, bool reversed) const {
    const std::vector<Rows> mixed = Mixed(executor, chunk, reversed);
    for (int32_t i = 0; i < static_cast<int32_t>(prompts_.size()); ++i) {
      SCOPED_TRACE(i);
      ExpectSameBits(Alone(executor_.get(), i, 64), mixed[static_cast<size_t>(i)]);
    }
  }

  TinySource source_;
  std::unique_ptr<CpuExecutor> executor_;
  std::vector<std::unique_ptr<const AdapterWeights>> adapters_;
  std::vector<std::vector<int32_t>> prompts_;
};

TEST_P(DecoderLawTest, AloneEqualsMixed) {
  ExpectMixedEqualsAlone(executor_.get(), 10, false);
  ExpectMixedEqualsAlone(executor_.get(), 3, true);
}

TEST_P(DecoderLawTest, ChunksOfPrefillChangeNothing) {
  for (const int32_t sequence : {4, 5}) {
    const Rows whole = Alone(executor_.get(), sequence, 64);
    for (const int32_t chunk : {1, 2, 5, 16, 23}) {
      SCOPED_TRACE(chunk);
      ExpectSameBits(whole, Alone(executor_.get(), sequence, chunk));
    }
  }
}

TEST_P(DecoderLawTest, ThreadsChangeNothing) {
  for (const int32_t threads : {2, 3, 5}) {
    SCOPED_TRACE(threads);
    const auto other = MakeExecutor(source_, Options(threads));
    ExpectMixedEqualsAlone(other.get(), 10, false);
  }
}

TEST_P(DecoderLawTest, PlacesOfBlocksChangeNothing) {
  const Rows ascending = Alone(executor_.get(), 5, 64);
  for (const uint32_t seed : {1U, 2U, 3U}) {
    ExpectSameBits(ascending, Alone(executor_.get(), 5, 64, seed));
  }
}

std::vector<Parameter> Parameters() {
  std::vector<Parameter> parameters;
  for (const std::string& name : TinyModelNames()) {
    for (const Isa isa : AvailableIsas()) {
      for (const WeightType dtype : {WeightType::kF32, WeightType::kBF16}) {
        parameters.emplace_back(name, isa, dtype, Quantization::kNone, MatmulPrecision::kAuto);
      }
    }
  }
  for (const Isa isa : AvailableIsas()) {
    const auto add = [&](const char* name, Quantization quantization, MatmulPrecision precision) {
      parameters.emplace_back(name, isa, WeightType::kBF16, quantization, precision);
    };
    add("qwen2_bias", Quantization::kInt8, MatmulPrecision::kAuto);
    add("gemma3", Quantization::kInt4, MatmulPrecision::kAuto);
    if (isa == Isa::kAmx) add("gemma3", Quantization::kNone, MatmulPrecision::kMedium);
    if (isa == Isa::kAvx512Bf16) add("gemma3", Quantization::kNone, MatmulPrecision::kHigh);
  }
  return parameters;
}

std::string NameOf(const ::testing::TestParamInfo<Parameter>& info) {
  const auto& [name, isa, dtype, quantization, precision] = info.param;
  std::string all =
      name + "_" + kernels::IsaName(isa) + (dtype == WeightType::kF32 ? "_f32" : "_bf16");
  if (precision != MatmulPrecision::kAuto) {
    all += std::string("_") + kernels::MatmulPrecisionName(precision);
  }
  if (quantization == Quantization::kNone) return all;
  return all + "_" + kernels::QuantizationName(quantization);
}

INSTANTIATE_TEST_SUITE_P(Models, DecoderLawTest, ::testing::ValuesIn(Parameters()), NameOf);

}  // namespace
}  // namespace lamella::testing
