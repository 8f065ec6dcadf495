#include "tests/testing/mixed_batch.h"

#include <algorithm>
#include <cstring>

#include "common/base/status_macros.h"
#include "tests/testing/step_driver.h"

namespace lamella::testing {
namespace {

using Rows = std::vector<std::vector<float>>;  // logits, by decoded token

// Feeds all of `sequences` at once until their tokens are spent.
absl::StatusOr<std::vector<Rows>> RunTogether(ModelExecutor* executor,
                                              std::span<const MixedSequence> sequences,
                                              int32_t decoded, int32_t chunk, uint32_t seed) {
  StepDriver driver(executor, seed);
  for (const MixedSequence& one : sequences) driver.Add(one.tokens, one.adapter);
  std::vector<Rows> result(sequences.size());
  while (true) {
    std::vector<Feed> feeds;
    int32_t rows = 0;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const auto sequence = static_cast<int32_t>(i);
      const int32_t pending = driver.pending(sequence);
      const bool decode = pending <= decoded;
      const int32_t take = decode ? 1 : std::min(chunk, pending - decoded);
      if (pending == 0 || rows + take > executor->limits().max_rows) continue;
      rows += take;
      feeds.push_back({sequence, take, decode});
    }
    if (feeds.empty()) return result;
    RETURN_IF_ERROR(driver.Step(feeds).status());
    size_t index = 0;
    for (const Feed& feed : feeds) {
      if (!feed.sample) continue;
      const auto logits = driver.logits(index++);
      result[static_cast<size_t>(feed.sequence)].emplace_back(logits.begin(), logits.end());
    }
  }
}

void CompareRows(const Rows& alone, const Rows& mixed, const std::string& name,
                 MixedFigures* figures) {
  for (size_t row = 0; row < std::max(alone.size(), mixed.size()); ++row) {
    ++figures->rows;
    if (row < alone.size() && row < mixed.size() &&
        std::memcmp(alone[row].data(), mixed[row].data(), alone[row].size() * sizeof(float)) == 0) {
      continue;
    }
    if (figures->different++ == 0) {
      figures->first_difference = name + ", decoded token " + std::to_string(row);
    }
  }
}

}  // namespace

absl::StatusOr<MixedFigures> CompareMixedWithAlone(ModelExecutor* executor,
                                                   std::span<const MixedSequence> sequences,
                                                   int32_t decoded, int32_t chunk) {
  ASSIGN_OR_RETURN(const std::vector<Rows> mixed,
                   RunTogether(executor, sequences, decoded, chunk, /*seed=*/7));
  MixedFigures figures;
  for (size_t i = 0; i < sequences.size(); ++i) {
    ASSIGN_OR_RETURN(const std::vector<Rows> alone,
                     RunTogether(executor, sequences.subspan(i, 1), decoded,
                                 executor->limits().max_rows, /*seed=*/0));
    CompareRows(alone.front(), mixed[i], sequences[i].name, &figures);
  }
  return figures;
}

}  // namespace lamella::testing
