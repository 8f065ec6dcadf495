// Adapters for a load: random weights in all linears of the served base, uploaded over the admin
// listener.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace lamella::bench {

struct MakeAdaptersOptions {
  std::string admin = "127.0.0.1:50052";
  std::string key;     // of a credential; empty: none is sent
  std::string model;   // the base that is served: a GGUF file or a Hugging Face folder
  std::string prefix;  // of names: "load-" for load-0, load-1, ...
  int32_t count = 0;
  std::vector<int32_t> ranks = {16};  // in turn
};

// An adapter that is there already stays as it is. Blocks until the last one is durable.
absl::Status MakeAdapters(const MakeAdaptersOptions& options);

}  // namespace lamella::bench
