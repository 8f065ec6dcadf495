#include "tests/bench/roofline.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdlib>
#include <memory>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lamella::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kWords = int64_t{32} << 20;
constexpr int kPasses = 3;
constexpr size_t kHugePage = size_t{2} << 20;

// Eight chains: one alone would wait for its own additions.
uint64_t Sum(const uint64_t* words, int64_t count) {
  std::array<uint64_t, 8> sums{};
  for (int64_t i = 0; i + 8 <= count; i += 8) {
    for (size_t j = 0; j < 8; ++j) sums[j] += words[i + static_cast<int64_t>(j)];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

// A loop of `count` rounds over independent chains; the operations of one round.
struct Probe {
  float (*run)(int64_t count);
  double flops_per_round;
};

constexpr int kChains = 12;  // more than latency times issue width on every processor so far

// Numbers of full mantissas, as activations and weights have. A processor may run twice as fast on
// zeros: its clock follows the power that its multipliers draw.
float Number(int i) {
  const uint32_t random = static_cast<uint32_t>(i + 1) * 2654435761u;
  return std::bit_cast<float>(uint32_t{0x3f000000} | (random & 0x80000000) |
                              (random >> 8 & 0x7fffff));
}

// Two of bfloat16.
float NumberPair(int i) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(Number(i)) & 0xffff0000) |
                              std::bit_cast<uint32_t>(Number(i + 1000)) >> 16);
}

template <size_t count>
std::array<float, count> Numbers(float (*number)(int), int first) {
  std::array<float, count> values{};
  for (size_t i = 0; i < count; ++i) values[i] = number(first + static_cast<int>(i));
  return values;
}

#if defined(__x86_64__)

[[gnu::target("avx2,fma")]] float RunAvx2(int64_t count) {
  __m256 sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  const std::array<float, 8> factors = Numbers<8>(Number, 0);
  const std::array<float, 8> terms = Numbers<8>(Number, 8);
  const __m256 a = _mm256_loadu_ps(factors.data());
  const __m256 b = _mm256_loadu_ps(terms.data());
  for (int64_t round = 0; round < count; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i] = _mm256_fmadd_ps(sums[i], a, b);
  }
  for (int i = 1; i < kChains; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return _mm256_cvtss_f32(sums[0]);
}

[[gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")]] float RunBf16Dot(int64_t count) {
  __m512 sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const std::array<float, 16> pairs = Numbers<16>(NumberPair, 0);
  const __m512i a = _mm512_loadu_si512(pairs.data());
  for (int64_t round = 0; round < count; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)a, (__m512bh)a);  // a cast between vectors
    }
  }
  for (int i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}

[[gnu::target("avx512f")]] float RunAvx512(int64_t count) {
  __m512 sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const std::array<float, 16> factors = Numbers<16>(Number, 0);
  const std::array<float, 16> terms = Numbers<16>(Number, 16);
  const __m512 a = _mm512_loadu_ps(factors.data());
  const __m512 b = _mm512_loadu_ps(terms.data());
  for (int64_t round = 0; round < count; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_fmadd_ps(sums[i], a, b);
  }
  for (int i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}

constexpr int kTiles = 4;

// The configuration is what ldtilecfg reads: palette 1, then 64 bytes and 16 rows for each of 8
// tiles.
[[gnu::target("amx-tile,amx-bf16")]] float RunMatrixTiles(int64_t count) {
  alignas(64) struct {
    uint8_t head[16] = {1};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  asm volatile("ldtilecfg %0" : : "m"(config));
  constexpr int kRowBytes = 64;
  constexpr size_t kPairs = 256;
  static const std::array<float, 2 * kPairs> pairs = Numbers<2 * kPairs>(NumberPair, 0);
  _tile_loadd(4, pairs.data(), kRowBytes);
  _tile_loadd(5, pairs.data() + kPairs, kRowBytes);
  _tile_loadd(6, pairs.data() + kPairs, kRowBytes);
  _tile_loadd(7, pairs.data(), kRowBytes);
  for (int64_t round = 0; round < count; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 1;
}

Probe ProbeFor(kernels::Isa isa, kernels::WeightType weight_type) {
  if (isa == kernels::Isa::kAmx && weight_type == kernels::WeightType::kBF16) {
    return {RunMatrixTiles, kTiles * 16 * 16 * 32 * 2.0};
  }
  if (isa == kernels::Isa::kAvx512 ||
      (isa != kernels::Isa::kAvx2 && isa != kernels::Isa::kReference &&
       weight_type == kernels::WeightType::kF32)) {
    return {RunAvx512, kChains * 16 * 2.0};
  }
  if (isa == kernels::Isa::kAvx512Bf16 && weight_type == kernels::WeightType::kBF16) {
    return {RunBf16Dot, kChains * 16 * 4.0};
  }
  return {RunAvx2, kChains * 8 * 2.0};
}

#else

Probe ProbeFor(kernels::Isa, kernels::WeightType) { return {nullptr, 0}; }

#endif

double Seconds(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

double ReadBandwidth(kernels::ForkJoinPool* pool) {
  // In huge pages, as the weights are.
  void* memory = std::aligned_alloc(kHugePage, kWords * sizeof(uint64_t));
  if (memory == nullptr) return 0;
  (void)madvise(memory, kWords * sizeof(uint64_t), MADV_HUGEPAGE);
  const std::unique_ptr<uint64_t, void (*)(void*)> words(static_cast<uint64_t*>(memory), std::free);
  std::fill(words.get(), words.get() + kWords, 1);
  std::atomic<uint64_t> sum{0};  // used, so that the reads are not optimised away
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto begin = Clock::now();
    pool->Run(kWords, int64_t{1} << 16, [&](int64_t from, int64_t to, int32_t) {
      sum += Sum(words.get() + from, to - from);
    });
    best = std::max(best, static_cast<double>(kWords) * sizeof(uint64_t) / Seconds(begin));
  }
  return sum.load() == 0 ? 0 : best;
}

double PeakFlops(kernels::ForkJoinPool* pool, kernels::Isa isa, kernels::WeightType weight_type) {
  if (!kernels::IsaAvailable(isa)) return 0;
  const Probe probe = ProbeFor(isa, weight_type);
  if (probe.run == nullptr) return 0;
  constexpr int64_t kParts = 64;
  constexpr int64_t kRounds = 100'000;  // a part takes about a quarter of a millisecond
  std::atomic<float> used{0};           // so that the work is not optimised away
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto begin = Clock::now();
    pool->Run(kParts, 1, [&](int64_t from, int64_t to, int32_t) {
      for (int64_t part = from; part < to; ++part) used.store(probe.run(kRounds));
    });
    best = std::max(best, probe.flops_per_round * kRounds * kParts / Seconds(begin));
  }
  return used.load() == 0 ? 0 : best;
}

}  // namespace lamella::bench
