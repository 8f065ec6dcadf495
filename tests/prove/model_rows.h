// Rows about what the decoder answers: recorded tokens and logits, serving in bfloat16, mixed
// batches.
#pragma once

#include <string>
#include <vector>

#include "tests/prove/row.h"

namespace lamella::prove {

// One demo base. Opening it takes seconds and hundreds of megabytes, so rows come by base.
class ModelRows {
 public:
  // `quick`: short prompts and few of them.
  ModelRows(std::string base, bool quick) : base_(std::move(base)), quick_(quick) {}

  Row Float32Gguf();
  Row Float32Folder();
  std::vector<Row> BFloat16();  // one for each vectorised ISA, NOT_RUN for those not available here
  Row MixedBatch();

 private:
  std::string base_;
  bool quick_;
};

}  // namespace lamella::prove
