// Which two neighbouring pieces may become one, and in what order: either as a list says, or, for
// vocabularies that carry scores, derived from these. Immutable and thread-safe.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "server/tokenizer/vocabulary.h"

namespace lamella {

// Lower goes first; among equals, the leftmost.
struct MergeRank {
  uint32_t first = 0;
  uint32_t second = 0;
  uint32_t third = 0;

  auto operator<=>(const MergeRank&) const = default;
};

struct Merge {
  MergeRank rank;
  int32_t id = -1;  // what the two become
};

class MergeRules {
 public:
  virtual ~MergeRules() = default;
  virtual std::optional<Merge> Find(int32_t left, int32_t right) const = 0;
};

// A list of merges, best first.
class ListedMerges : public MergeRules {
 public:
  explicit ListedMerges(size_t count) { merges_.reserve(count); }
  // Of a pair that the list has twice, the last one counts, as for the reference.
  void Add(int32_t left, int32_t right, int32_t merged);
  std::optional<Merge> Find(int32_t left, int32_t right) const override;

 private:
  struct Entry {
    uint32_t rank = 0;
    int32_t id = -1;
  };
  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  uint32_t next_rank_ = 0;
  absl::flat_hash_map<uint64_t, Entry> merges_;
};

// Every split of a piece into two pieces is a merge. Order: the score of the whole, best first; the
// id of the whole; the id of the left part, then of the right one, downwards. That is the list
// which a tokenizer.json of the same vocabulary holds, without the time to build it: a vocabulary
// of 262,144 pieces has half a million merges, and a text asks for few of them.
class ScoredMerges : public MergeRules {
 public:
  static constexpr float kNever = -std::numeric_limits<float>::infinity();

  // `scores` [vocabulary.size()]: kNever for pieces that no merge may produce. `vocabulary` is
  // borrowed and outlives this.
  ScoredMerges(const Vocabulary* vocabulary, const std::vector<float>& scores);
  std::optional<Merge> Find(int32_t left, int32_t right) const override;

 private:
  static constexpr uint32_t kNoRank = 0xFFFFFFFF;
  const Vocabulary* vocabulary_;
  std::vector<uint32_t> rank_;  // [id]
};

}  // namespace lamella
