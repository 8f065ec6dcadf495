// Drives a ModelExecutor by hand, as the engine would but without a scheduler: tests and the proof
// command decide which sequences are in a step and how many of their tokens it takes. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "server/core/model_executor.h"

namespace lamella::testing {

// What one sequence contributes to a step.
struct Feed {
  int32_t sequence = 0;
  int32_t tokens = 1;   // how many of its pending tokens
  bool sample = false;  // after the last of them
  SamplingParams sampling = {};
  int32_t logprobs = -1;  // as SequenceRows has them
  int32_t prompt_logprobs = -1;
  std::vector<int32_t> banned = {};
};

class StepDriver {
 public:
  // Blocks are handed out in an order that `block_seed` shuffles; 0 keeps them ascending.
  explicit StepDriver(ModelExecutor* executor, uint32_t block_seed = 0);

  // A sequence of known tokens; returns its index. `adapter` is borrowed.
  int32_t Add(std::vector<int32_t> tokens, const AdapterWeights* adapter = nullptr);
  void Append(int32_t sequence, int32_t token);
  int32_t pending(int32_t sequence) const;  // tokens that no step has taken yet

  // One step of `feeds`, in their order, with logits of every sampled row. The result is valid
  // until the next step.
  absl::StatusOr<const StepOutput*> Step(std::span<const Feed> feeds);

  // Feeds pending tokens in chunks of `chunk` rows until `leave` of them are left.
  absl::Status Prefill(int32_t sequence, int32_t chunk, int32_t leave);

  // Logits of the sampled row `index` of the last step: float [vocab_size].
  std::span<const float> logits(size_t index) const;

 private:
  struct Sequence {
    std::vector<int32_t> tokens;
    std::vector<int32_t> blocks;
    const AdapterWeights* adapter = nullptr;
    int32_t done = 0;       // tokens whose keys and values are in the cache
    int32_t generated = 0;  // tokens sampled so far
  };
  absl::Status AddRows(const Feed& feed);
  void AddSegment(const AdapterWeights* adapter, int32_t row_begin, int32_t row_end);

  ModelExecutor& executor_;
  std::vector<Sequence> sequences_;
  std::vector<int32_t> free_blocks_;  // taken from the back
  StepInput input_;
  StepOutput output_;
};

}  // namespace lamella::testing
