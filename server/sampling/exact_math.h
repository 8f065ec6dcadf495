// exp and log in plain operations, the same bits on every machine: the C library picks other code
// on processors with FMA, and then the last bit differs. Internal to the room.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace lamella::sampling {

// exp(x) for x <= 0, to about 2 ulp: 2^n times a Taylor series for the rest, |rest| <= ln(2) / 2.
inline float ExpOfNonPositive(float x) {
  const float clamped = std::max(x, -87.0f);
  const auto n = static_cast<int32_t>(clamped * 1.44269504f - 0.5f);
  const auto scaled = static_cast<float>(n);
  const float r = (clamped - scaled * 0.693145752f) - scaled * 1.42860677e-6f;
  float sum = 1.0f / 5040.0f;
  sum = sum * r + 1.0f / 720.0f;
  sum = sum * r + 1.0f / 120.0f;
  sum = sum * r + 1.0f / 24.0f;
  sum = sum * r + 1.0f / 6.0f;
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  const float power = std::bit_cast<float>(static_cast<uint32_t>(n + 127) << 23);
  return x < -87.0f ? 0.0f : sum * power;
}

// ln(x) of a finite x >= 1, to about 1e-15: x is 2^n m with m in [0.75, 1.5), and
// ln(m) = 2 artanh(s) with s = (m - 1) / (m + 1), |s| <= 0.2.
inline double LogOfOneOrMore(double x) {
  const auto bits = std::bit_cast<uint64_t>(x);
  auto n = static_cast<int32_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  if (m >= 1.5) {
    m *= 0.5;
    ++n;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double square = s * s;
  double sum = 0.0;
  for (int term = 21; term >= 1; term -= 2) sum = sum * square + 1.0 / term;
  return n * 0.6931471805599453 + 2.0 * s * sum;
}

}  // namespace lamella::sampling
