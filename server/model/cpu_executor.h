// The ModelExecutor that computes on this machine's processor. A facade: weights, KV cache, decoder
// and sampling behind Launch and Wait. The step runs inside Wait, on the caller and the threads of
// the executor's own pool. It owns everything that it computes with; the weight source can go once
// Create returns.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/formats/base_spec.h"
#include "server/core/model_executor.h"
#include "server/kernels/kernel_table.h"
#include "server/model/model_config.h"
#include "server/model/weight_source.h"

namespace lamella {

struct CpuExecutorOptions {
  int32_t threads = 1;              // 1 to 256, the caller included
  std::optional<kernels::Isa> isa;  // the best this processor has if not set
  kernels::WeightType dtype =
      kernels::WeightType::kBF16;  // of weights, adapters and, but for kv_type, keys and values
  // Of the base's linear layers instead of dtype; embedding and head are int8 on an int4 base.
  kernels::Quantization base_quant = kernels::Quantization::kNone;
  kernels::KvType kv_type = kernels::KvType::kServing;
  kernels::MatmulPrecision precision = kernels::MatmulPrecision::kAuto;
  int64_t kv_cache_bytes = int64_t{256} << 20;  // rounded down to whole blocks
  int32_t max_rows = 256;                       // rows of one step, 1 to 65536
  int32_t max_sequences = 64;                   // sequences of one step, 1 to max_rows
  int32_t max_context_tokens = 0;               // 0: what the model and the KV cache take

  // INVALID_ARGUMENT (OUT_OF_RANGE; NOT_IMPLEMENTED for an ISA that is not available here).
  absl::Status Validate() const;
};

class CpuExecutor final : public ModelExecutor {
 public:
  // Loads the weights: blocks for seconds. The status says which option or tensor is at fault.
  static absl::StatusOr<std::unique_ptr<CpuExecutor>> Create(const WeightSource& source,
                                                             const CpuExecutorOptions& options);
  ~CpuExecutor() override;

  const ExecutorLimits& limits() const override;
  void Launch(const StepInput& input) override;
  absl::Status Wait(StepOutput* output) override;

  const ModelConfig& config() const;
  const BaseSpec& base_spec() const;                 // what adapters are checked against
  const kernels::KernelTable& kernel_table() const;  // what adapters must be packed by
  int64_t weight_bytes() const;                      // packed weights, norms and biases
  int64_t kv_cache_bytes() const;                    // whole blocks

 private:
  struct State;
  explicit CpuExecutor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lamella
