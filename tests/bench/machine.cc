#include "tests/bench/machine.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

namespace lamella::bench {
namespace {

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

}  // namespace

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

int32_t ProcessorCount() { return static_cast<int32_t>(std::thread::hardware_concurrency()); }

std::string CommitName() {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      popen("git -C '" LAMELLA_SOURCE_DIR "' rev-parse --short HEAD 2>/dev/null", "r"), pclose);
  std::array<char, 64> line{};
  if (pipe == nullptr || std::fgets(line.data(), line.size(), pipe.get()) == nullptr) {
    return "unknown";
  }
  std::string name(line.data());
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

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
    const auto begin = std::chrono::steady_clock::now();
    pool->Run(kWords, int64_t{1} << 16, [&](int64_t from, int64_t to, int32_t) {
      sum += Sum(words.get() + from, to - from);
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    best = std::max(best, static_cast<double>(kWords) * sizeof(uint64_t) / took.count());
  }
  return sum.load() == 0 ? 0 : best;
}

}  // namespace lamella::bench
