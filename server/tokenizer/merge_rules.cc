#include "server/tokenizer/merge_rules.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace lamella {

void ListedMerges::Add(int32_t left, int32_t right, int32_t merged) {
  merges_[Key(left, right)] = {next_rank_++, merged};
}

std::optional<Merge> ListedMerges::Find(int32_t left, int32_t right) const {
  const auto it = merges_.find(Key(left, right));
  if (it == merges_.end()) return std::nullopt;
  return Merge{{it->second.rank, 0, 0}, it->second.id};
}

ScoredMerges::ScoredMerges(const Vocabulary* vocabulary, const std::vector<float>& scores)
    : vocabulary_(vocabulary), rank_(scores.size(), kNoRank) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  for (uint32_t i = 0; i < order.size(); ++i) {
    const auto id = static_cast<size_t>(order[i]);
    if (scores[id] != kNever) rank_[id] = i;
  }
}

std::optional<Merge> ScoredMerges::Find(int32_t left, int32_t right) const {
  const std::string_view a = vocabulary_->Piece(left);
  const std::string_view b = vocabulary_->Piece(right);
  if (a.size() + b.size() > vocabulary_->max_piece_bytes()) return std::nullopt;
  thread_local std::string whole;  // keeps its memory: this runs for every pair of a text
  whole.assign(a);
  whole.append(b);
  const int32_t id = vocabulary_->Find(whole);
  if (id < 0) return std::nullopt;
  const uint32_t rank = rank_[static_cast<size_t>(id)];
  if (rank == kNoRank) return std::nullopt;
  return Merge{{rank, ~static_cast<uint32_t>(left), ~static_cast<uint32_t>(right)}, id};
}

}  // namespace lamella
