#include "tests/bench/executor_flags.h"

#include <string>

#include "absl/flags/flag.h"
#include "tests/bench/machine.h"

ABSL_FLAG(int32_t, threads, 0, "compute threads; 0: one for each core");
ABSL_FLAG(std::string, isa, "best", "instruction set");
ABSL_FLAG(std::string, dtype, "bf16", "serving dtype");
ABSL_FLAG(std::string, base_quant, "none", "of the base's weights: none, int8 or int4");
ABSL_FLAG(std::string, kv_cache_dtype, "auto", "of keys and values: auto (as dtype) or int8");
ABSL_FLAG(std::string, matmul_precision, "auto",
          "of activations in products of bfloat16: auto, high or medium");

namespace lamella::bench {

int32_t ThreadsFromFlags() {
  const int32_t threads = absl::GetFlag(FLAGS_threads);
  return threads > 0 ? threads : ProcessorCount();
}

absl::StatusOr<CpuExecutorOptions> ExecutorOptionsFromFlags() {
  CpuExecutorOptions options;
  options.threads = ThreadsFromFlags();
  const std::string dtype = absl::GetFlag(FLAGS_dtype);
  if (dtype != "bf16" && dtype != "float32") {
    return absl::InvalidArgumentError("--dtype must be bf16 or float32");
  }
  options.dtype = dtype == "bf16" ? kernels::WeightType::kBF16 : kernels::WeightType::kF32;
  if (!kernels::ParseQuantization(absl::GetFlag(FLAGS_base_quant), &options.base_quant)) {
    return absl::InvalidArgumentError("--base-quant must be none, int8 or int4");
  }
  if (!kernels::ParseKvType(absl::GetFlag(FLAGS_kv_cache_dtype), &options.kv_type)) {
    return absl::InvalidArgumentError("--kv-cache-dtype must be auto or int8");
  }
  if (!kernels::ParseMatmulPrecision(absl::GetFlag(FLAGS_matmul_precision), &options.precision)) {
    return absl::InvalidArgumentError("--matmul-precision must be auto, high or medium");
  }
  const std::string name = absl::GetFlag(FLAGS_isa);
  if (name == "best") return options;
  kernels::Isa isa{};
  if (!kernels::ParseIsa(name, &isa)) {
    return absl::InvalidArgumentError("no ISA is called " + name);
  }
  options.isa = isa;
  return options;
}

}  // namespace lamella::bench
