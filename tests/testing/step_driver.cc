#include "tests/testing/step_driver.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <utility>

#include "common/base/status_macros.h"

namespace lamella::testing {

StepDriver::StepDriver(ModelExecutor* executor, uint32_t block_seed) : executor_(*executor) {
  free_blocks_.resize(static_cast<size_t>(executor->limits().num_blocks));
  std::iota(free_blocks_.rbegin(), free_blocks_.rend(), 0);
  if (block_seed != 0) {
    std::mt19937 generator(block_seed);
    std::shuffle(free_blocks_.begin(), free_blocks_.end(), generator);
  }
  input_.want_logits = true;
}

int32_t StepDriver::Add(std::vector<int32_t> tokens, const AdapterWeights* adapter) {
  Sequence sequence;
  sequence.tokens = std::move(tokens);
  sequence.adapter = adapter;
  sequences_.push_back(std::move(sequence));
  return static_cast<int32_t>(sequences_.size()) - 1;
}

void StepDriver::Append(int32_t sequence, int32_t token) {
  sequences_[static_cast<size_t>(sequence)].tokens.push_back(token);
}

int32_t StepDriver::pending(int32_t sequence) const {
  const Sequence& one = sequences_[static_cast<size_t>(sequence)];
  return static_cast<int32_t>(one.tokens.size()) - one.done;
}

absl::StatusOr<const StepOutput*> StepDriver::Step(std::span<const Feed> feeds) {
  input_.Clear();
  input_.want_logits = true;
  for (const Feed& feed : feeds) RETURN_IF_ERROR(AddRows(feed));
  executor_.Launch(input_);
  RETURN_IF_ERROR(executor_.Wait(&output_));
  for (const Feed& feed : feeds) {
    Sequence& sequence = sequences_[static_cast<size_t>(feed.sequence)];
    sequence.done += feed.tokens;
    sequence.generated += feed.sample ? 1 : 0;
  }
  return &output_;
}

absl::Status StepDriver::AddRows(const Feed& feed) {
  Sequence& sequence = sequences_[static_cast<size_t>(feed.sequence)];
  if (feed.tokens < 1 || feed.tokens > pending(feed.sequence)) {
    return absl::InvalidArgumentError("the sequence has fewer pending tokens");
  }
  const int32_t block_tokens = executor_.limits().block_tokens;
  const int32_t end = sequence.done + feed.tokens;
  while (static_cast<int32_t>(sequence.blocks.size()) * block_tokens < end) {
    if (free_blocks_.empty()) return absl::ResourceExhaustedError("no block is free");
    sequence.blocks.push_back(free_blocks_.back());
    free_blocks_.pop_back();
  }
  SequenceRows rows;
  rows.row_begin = input_.rows();
  rows.row_count = feed.tokens;
  rows.first_position = sequence.done;
  rows.block_table = sequence.blocks;
  rows.sample = feed.sample;
  rows.sampling = &feed.sampling;
  rows.tokens = sequence.tokens;
  rows.prompt_tokens = static_cast<int32_t>(sequence.tokens.size()) - sequence.generated;
  rows.sample_position = sequence.generated;
  rows.banned_token_ids = feed.banned;
  rows.logprobs = feed.logprobs;
  rows.prompt_logprobs = feed.prompt_logprobs;
  const auto first = sequence.tokens.begin() + sequence.done;
  input_.token_ids.insert(input_.token_ids.end(), first, first + feed.tokens);
  input_.sequences.push_back(rows);
  AddSegment(sequence.adapter, rows.row_begin, rows.row_begin + rows.row_count);
  return absl::OkStatus();
}

void StepDriver::AddSegment(const AdapterWeights* adapter, int32_t row_begin, int32_t row_end) {
  if (adapter == nullptr) return;
  if (!input_.segments.empty() && input_.segments.back().weights == adapter &&
      input_.segments.back().row_end == row_begin) {
    input_.segments.back().row_end = row_end;
    return;
  }
  input_.segments.push_back({row_begin, row_end, adapter});
}

absl::Status StepDriver::Prefill(int32_t sequence, int32_t chunk, int32_t leave) {
  while (pending(sequence) > leave) {
    const Feed feed{sequence, std::min(chunk, pending(sequence) - leave)};
    RETURN_IF_ERROR(Step({&feed, 1}).status());
  }
  return absl::OkStatus();
}

std::span<const float> StepDriver::logits(size_t index) const {
  const auto vocab = static_cast<size_t>(executor_.limits().vocab_size);
  return std::span<const float>(output_.logits).subspan(index * vocab, vocab);
}

}  // namespace lamella::testing
