// The port behind which a model runs. The engine thread owns an executor: it calls Launch and Wait
// in turn and never from two threads. Launch may return before the work is done, so that the caller
// can prepare the next step meanwhile; one step is in flight at most.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "server/core/step.h"

namespace lamella {

struct ExecutorLimits {
  int32_t block_tokens = 16;   // KV tokens in a block
  int32_t num_blocks = 0;      // blocks in the KV cache; valid ids are [0, num_blocks)
  int32_t max_rows = 0;        // rows of one step
  int32_t max_sequences = 0;   // sequences of one step
  int32_t max_logit_rows = 0;  // rows of one step that sample or tell of a prompt's token
  int32_t context_tokens = 0;  // longest sequence the model takes
  int32_t vocab_size = 0;
  // Every layer attends to this many positions at most, the own one included, and table entries of
  // blocks that lie wholly before them are never read. 0: some layer attends to everything.
  int32_t attention_window = 0;
};

class ModelExecutor {
 public:
  virtual ~ModelExecutor() = default;

  virtual const ExecutorLimits& limits() const = 0;

  // Starts a step. `input` must stay valid and unchanged until Wait returns, and keep within
  // limits(). Keys and values of every row are written to the blocks its table names before they
  // are read.
  virtual void Launch(const StepInput& input) = 0;

  // Waits for the launched step and fills `output` (cleared first). On an error no row of the step
  // may be committed. A non-finite row is not an error: see SampledToken::finite.
  virtual absl::Status Wait(StepOutput* output) = 0;
};

}  // namespace lamella
