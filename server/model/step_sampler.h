// From the logits of a step to tokens and log-probabilities: which rows need logits, what is drawn
// from them, and what is told of them. Knows no weights. One executor owns it; its rows are read in
// parallel, and what comes out does not depend on how they are split.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/core/step.h"
#include "server/kernels/fork_join_pool.h"
#include "server/sampling/adjustments.h"
#include "server/sampling/sampler.h"

namespace lamella {

class StepSampler {
 public:
  StepSampler(int32_t vocab_size, int32_t max_logit_rows, int32_t threads);

  // The rows of the step whose logits Read wants, ascending: of each sequence those whose next token
  // is in the prompt and asked about, then the one that samples. Valid until the next Plan.
  std::span<const int32_t> Plan(const StepInput& input);

  // `logits`: float [planned rows][vocab_size], left as they are. Fills `output`, which is cleared,
  // but for output->logits. Allocates nothing that an earlier step of the kind did not.
  void Read(const StepInput& input, const float* logits, kernels::ForkJoinPool* pool,
            StepOutput* output);

  // Copies the logits of sampled rows.
  void CopyLogits(const float* logits, StepOutput* output) const;

 private:
  struct Row {
    int32_t sequence_index = 0;
    int32_t sampled = -1;  // its place in StepOutput::sampled; -1: the next token is the prompt's
    int32_t told = -1;     // its place in StepOutput::logprobs; -1: nothing is told
  };
  struct Scratch {
    sampling::AdjustScratch adjust;
    sampling::SampleScratch sample;
  };

  void PlanSequence(const SequenceRows& sequence, int32_t sequence_index);
  void PlanRow(const SequenceRows& sequence, Row row, int32_t row_offset, int32_t alternatives);
  void ReadRow(const StepInput& input, const Row& row, std::span<const float> logits,
               Scratch* scratch, StepOutput* output) const;

  const int32_t vocab_size_;
  std::vector<Scratch> scratches_;  // [threads]
  std::vector<int32_t> logit_rows_;
  std::vector<Row> rows_;         // of logit_rows_
  std::vector<LogprobRow> told_;  // without log-probabilities
  int32_t sampled_ = 0;
  int32_t top_logprobs_ = 0;
};

}  // namespace lamella
