// Philox4x32-10, a counter-based generator: a pure function from (counter, key) to 128 random bits
// (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). No state, so a token
// drawn for (seed, choice, position) does not depend on what was drawn before or beside it.
#pragma once

#include <array>
#include <cstdint>

namespace lamella::sampling {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

constexpr PhiloxCounter Philox4x32(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t even = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t odd = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(odd >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(odd),
               static_cast<uint32_t>(even >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(even)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

}  // namespace lamella::sampling
