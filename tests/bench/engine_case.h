// A cell of `lamella-bench engine` as its --cases names it: who is in a step.
//
//   [prefill:|sequential:]ROWSxADAPTERS[@RANKS][#RESIDENT]
//
//   8xbase            8 sequences of the base model
//   32x8              32 sequences of 8 adapters, 4 rows each, of rank 16
//   32x32@8/64        32 of as many adapters, of rank 8 and 64 by turns
//   32x1@8#1000       32 of one adapter; each step another one of 1,000 that are in memory
//   32xzipf@16#1000   the adapter of each sequence drawn by Zipf's law over 1,000; zipf1.2: exponent
//   sequential:32x32  a step of its own for each adapter, as engines do that cannot mix them
//   prefill:512xbase  a prompt of 512 tokens in one step
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace lamella::bench {

struct EngineCase {
  enum class Kind { kDecode, kSequential, kPrefill };

  std::string name;  // as it was written
  Kind kind = Kind::kDecode;
  int32_t rows = 1;                   // sequences, or tokens of the prompt
  int32_t adapters = 0;               // distinct ones of a step; 0: the base, or drawn
  double zipf = 0;                    // exponent; 0: not drawn
  std::vector<int32_t> ranks = {16};  // adapter i has ranks[i % size]
  int32_t resident = 0;               // adapters that those of a step are among

  bool base() const { return resident == 0; }
  int32_t RankOf(int32_t adapter) const {
    return ranks[static_cast<size_t>(adapter) % ranks.size()];
  }
};

// INVALID_ARGUMENT that quotes what cannot be read. `rank`: of a case that names none.
absl::StatusOr<EngineCase> ParseEngineCase(std::string_view text, int32_t rank = 16);

// What a case is set beside: as many rows of the same kind without an adapter.
EngineCase BaseOf(const EngineCase& one);

}  // namespace lamella::bench
