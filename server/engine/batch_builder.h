// Turns a plan into the executor's input: rows of one adapter stand together, so that each adapter
// is one segment; base rows are in none. It reads sequences and commits nothing: a batch that never
// ran leaves no trace. Keeps its buffers from step to step. The loop's thread alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/core/step.h"
#include "server/engine/scheduler.h"

namespace lamella {

struct Batch {
  StepInput input;
  std::vector<Sequence*> sequences;  // sequences[i] owns the rows of input.sequences[i]
  int32_t distinct_adapters = 0;     // the base not counted

  void Clear() {
    input.Clear();
    sequences.clear();
    distinct_adapters = 0;
  }
};

class BatchBuilder {
 public:
  // `batch` is cleared first. It borrows the tables and weights of the planned sequences.
  void Build(std::span<const PlannedRows> plan, Batch* batch);

 private:
  std::vector<const AdapterWeights*> groups_;  // in the order of their first rows in the plan
};

}  // namespace lamella
