// What the services answer from. Everything pointed to is borrowed and outlives the listener.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/authenticator.h"
#include "server/api/request_sink.h"
#include "server/core/adapter_catalogue.h"
#include "server/core/request_record.h"
#include "server/core/tenant_limits.h"
#include "server/engine/engine_options.h"
#include "server/telemetry/metrics.h"
#include "server/tokenizer/tokenizer.h"

namespace lamella {

// What GetModelInfo says that no other room knows.
struct ModelFacts {
  std::string name;          // "smollm2-135m-instruct"
  std::string fingerprint;   // 64 hex digits
  std::string architecture;  // "LlamaForCausalLM"
  std::string dtype;         // "bf16", "float32", "bf16+int8" on a quantized base
  std::string isa;           // "avx2", ...
  std::string server_version;
  int32_t context_tokens = 0;
};

// What one request may ask for: the engine's limits and those that only the edge has.
struct ApiLimits {
  RequestLimits request;
  int32_t max_prompt_tokens = 0;            // of token_ids; the engine knows the exact rule
  int32_t max_texts = 256;                  // of Tokenize and Detokenize
  int64_t max_tokenize_bytes = 256 << 10;   // of one Tokenize, together; a byte may become a token
  int32_t max_detokenize_tokens = 1 << 18;  // of one Detokenize, together
};

struct ServiceDeps {
  RequestSink* sink = nullptr;
  const Tokenizer* tokenizer = nullptr;
  const AdapterCatalogue* catalogue = nullptr;
  const Metrics* metrics = nullptr;
  RequestRecorder* recorder = nullptr;  // may stay null: told of refused requests
  bool begin_traces = false;            // of requests that come without one
  const Authenticator* authenticator = nullptr;
  std::function<TenantLoad(std::string_view tenant)> load_of;  // of the engine
  ModelFacts facts;
  ApiLimits limits;
};

}  // namespace lamella
