#include "server/engine/batch_builder.h"

#include <algorithm>

namespace lamella {
namespace {

void AppendRows(const PlannedRows& planned, Batch* batch) {
  Sequence* const sequence = planned.sequence;
  const ActiveRequest& request = *sequence->request;
  const int32_t begin = sequence->computed_tokens;
  SequenceRows rows;
  rows.row_begin = batch->input.rows();
  rows.row_count = planned.rows;
  rows.first_position = begin;
  rows.block_table = sequence->blocks.ids();
  rows.sample = planned.rows == sequence->pending_tokens();
  rows.sampling = &request.sampling;
  rows.choice_index = sequence->choice_index;
  rows.sample_position = sequence->generated_tokens();
  rows.tokens = sequence->tokens;
  rows.prompt_tokens = request.prompt_tokens;
  rows.banned_token_ids = sequence->answer.banned_token_ids();
  rows.logprobs = request.logprobs.generated;
  if (!request.started) rows.prompt_logprobs = request.logprobs.prompt;
  const auto first = sequence->tokens.begin() + begin;
  batch->input.token_ids.insert(batch->input.token_ids.end(), first, first + planned.rows);
  batch->input.sequences.push_back(rows);
  batch->sequences.push_back(sequence);
}

}  // namespace

void BatchBuilder::Build(std::span<const PlannedRows> plan, Batch* batch) {
  batch->Clear();
  groups_.clear();
  for (const PlannedRows& planned : plan) {
    const AdapterWeights* const weights = planned.sequence->request->pin.weights();
    if (std::find(groups_.begin(), groups_.end(), weights) == groups_.end()) {
      groups_.push_back(weights);
    }
  }
  for (const AdapterWeights* const weights : groups_) {
    const int32_t row_begin = batch->input.rows();
    for (const PlannedRows& planned : plan) {
      if (planned.sequence->request->pin.weights() == weights) AppendRows(planned, batch);
    }
    if (weights == nullptr) continue;
    batch->input.segments.push_back({row_begin, batch->input.rows(), weights});
    ++batch->distinct_adapters;
  }
}

}  // namespace lamella
