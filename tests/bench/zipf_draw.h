// Indices by Zipf's law: the i-th most wanted of `count` is drawn as often as 1 / (i + 1)^exponent
// says. The same sequence for the same seed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace lamella::bench {

class ZipfDraw {
 public:
  ZipfDraw(size_t count, double exponent, uint32_t seed) : random_(seed) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) {
      sums_.push_back(sum += std::pow(static_cast<double>(i + 1), -exponent));
    }
  }

  size_t Next() {
    const double at = std::uniform_real_distribution<double>(0, sums_.back())(random_);
    return static_cast<size_t>(std::lower_bound(sums_.begin(), sums_.end(), at) - sums_.begin());
  }

 private:
  std::mt19937 random_;
  std::vector<double> sums_;
};

}  // namespace lamella::bench
