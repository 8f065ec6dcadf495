// What is said of many measurements of one thing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

namespace lamella::bench {

// By nearest rank: the smallest of the values that at least `share` of them, in [0, 1], do not
// exceed. Zero of none.
inline double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  const auto at =
      values.begin() + static_cast<std::ptrdiff_t>(std::clamp<size_t>(rank, 1, values.size()) - 1);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

inline double Median(std::vector<double> values) { return Percentile(std::move(values), 0.5); }

}  // namespace lamella::bench
