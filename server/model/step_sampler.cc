#include "server/model/step_sampler.h"

#include <algorithm>

#include "server/sampling/log_softmax.h"

namespace lamella {
namespace {

// The tokens that a sampled row depends on.
sampling::TokenContext ContextOf(const SequenceRows& sequence) {
  const int32_t end = sequence.first_position + sequence.row_count;
  return {sequence.tokens.first(static_cast<size_t>(end)), std::min(sequence.prompt_tokens, end),
          sequence.banned_token_ids};
}

}  // namespace

StepSampler::StepSampler(int32_t vocab_size, int32_t max_logit_rows, int32_t threads)
    : vocab_size_(vocab_size), scratches_(static_cast<size_t>(threads)) {
  for (Scratch& scratch : scratches_) {
    scratch.adjust.Reserve(static_cast<size_t>(vocab_size));
    scratch.sample.Reserve(static_cast<size_t>(vocab_size));
  }
  logit_rows_.reserve(static_cast<size_t>(max_logit_rows));
  rows_.reserve(static_cast<size_t>(max_logit_rows));
}

std::span<const int32_t> StepSampler::Plan(const StepInput& input) {
  logit_rows_.clear();
  rows_.clear();
  told_.clear();
  sampled_ = 0;
  top_logprobs_ = 0;
  for (size_t i = 0; i < input.sequences.size(); ++i) {
    PlanSequence(input.sequences[i], static_cast<int32_t>(i));
  }
  return logit_rows_;
}

void StepSampler::PlanSequence(const SequenceRows& sequence, int32_t sequence_index) {
  if (sequence.prompt_logprobs >= 0) {
    const int32_t known = sequence.prompt_tokens - 1 - sequence.first_position;
    for (int32_t i = 0; i < std::min(sequence.row_count, known); ++i) {
      PlanRow(sequence, {sequence_index, -1, -1}, i, sequence.prompt_logprobs);
    }
  }
  if (sequence.sample) {
    PlanRow(sequence, {sequence_index, sampled_++, -1}, sequence.row_count - 1, sequence.logprobs);
  }
}

void StepSampler::PlanRow(const SequenceRows& sequence, Row row, int32_t row_offset,
                          int32_t alternatives) {
  logit_rows_.push_back(sequence.row_begin + row_offset);
  if (alternatives >= 0) {
    row.told = static_cast<int32_t>(told_.size());
    LogprobRow told;
    told.sequence_index = row.sequence_index;
    told.position = sequence.first_position + row_offset + 1;
    told.token.token_id =
        row.sampled < 0 ? sequence.tokens[static_cast<size_t>(told.position)] : -1;
    told.top_begin = top_logprobs_;
    told.top_end = top_logprobs_ += std::min(alternatives, vocab_size_);
    told_.push_back(told);
  }
  rows_.push_back(row);
}

void StepSampler::Read(const StepInput& input, const float* logits, kernels::ForkJoinPool* pool,
                       StepOutput* output) {
  output->sampled.resize(static_cast<size_t>(sampled_));
  output->logprobs.assign(told_.begin(), told_.end());
  output->top_logprobs.resize(static_cast<size_t>(top_logprobs_));
  pool->Run(static_cast<int64_t>(rows_.size()), 1, [&](int64_t begin, int64_t end, int32_t worker) {
    for (int64_t i = begin; i < end; ++i) {
      ReadRow(input, rows_[static_cast<size_t>(i)],
              {logits + i * vocab_size_, static_cast<size_t>(vocab_size_)},
              &scratches_[static_cast<size_t>(worker)], output);
    }
  });
  std::erase_if(output->logprobs, [](const LogprobRow& told) { return told.token.token_id < 0; });
}

void StepSampler::ReadRow(const StepInput& input, const Row& row, std::span<const float> logits,
                          Scratch* scratch, StepOutput* output) const {
  const SequenceRows& sequence = input.sequences[static_cast<size_t>(row.sequence_index)];
  const bool finite = sampling::AllFinite(logits);
  int32_t token_id = -1;
  if (row.sampled >= 0) {
    if (finite) {
      const SamplingParams& params = *sequence.sampling;
      const sampling::SampleKey key{params.seed, sequence.choice_index, sequence.sample_position};
      const auto adjusted =
          sampling::AdjustLogits(logits, params, ContextOf(sequence), scratch->adjust);
      token_id = sampling::SampleToken(adjusted, params, key, scratch->sample);
    }
    output->sampled[static_cast<size_t>(row.sampled)] = {row.sequence_index, token_id, finite};
  }
  if (row.told < 0) return;
  LogprobRow& told = output->logprobs[static_cast<size_t>(row.told)];
  if (row.sampled >= 0 || !finite) told.token.token_id = token_id;
  if (!finite) return;
  const sampling::LogSoftmax softmax(logits);
  told.token.logprob = softmax.Of(told.token.token_id);
  softmax.Top(std::span(output->top_logprobs)
                  .subspan(static_cast<size_t>(told.top_begin),
                           static_cast<size_t>(told.top_end - told.top_begin)));
}

void StepSampler::CopyLogits(const float* logits, StepOutput* output) const {
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (rows_[i].sampled < 0) continue;
    const float* const row = logits + static_cast<int64_t>(i) * vocab_size_;
    output->logits.insert(output->logits.end(), row, row + vocab_size_);
  }
}

}  // namespace lamella
