#include "server/executor_options.h"

#include <optional>

namespace lamella {
namespace {

kernels::WeightType WeightTypeOf(DtypeOption dtype) {
  return dtype == DtypeOption::kBf16 ? kernels::WeightType::kBF16 : kernels::WeightType::kF32;
}

kernels::Quantization QuantizationOf(BaseQuantOption base_quant) {
  switch (base_quant) {
    case BaseQuantOption::kNone:
      return kernels::Quantization::kNone;
    case BaseQuantOption::kInt8:
      return kernels::Quantization::kInt8;
    case BaseQuantOption::kInt4:
      return kernels::Quantization::kInt4;
  }
  return kernels::Quantization::kNone;
}

kernels::MatmulPrecision PrecisionOf(MatmulPrecisionOption precision) {
  switch (precision) {
    case MatmulPrecisionOption::kAuto:
      return kernels::MatmulPrecision::kAuto;
    case MatmulPrecisionOption::kHigh:
      return kernels::MatmulPrecision::kHigh;
    case MatmulPrecisionOption::kMedium:
      return kernels::MatmulPrecision::kMedium;
  }
  return kernels::MatmulPrecision::kAuto;
}

std::optional<kernels::Isa> IsaOf(IsaOption isa) {
  switch (isa) {
    case IsaOption::kAuto:
      return std::nullopt;
    case IsaOption::kReference:
      return kernels::Isa::kReference;
    case IsaOption::kAvx2:
      return kernels::Isa::kAvx2;
    case IsaOption::kAvx512:
      return kernels::Isa::kAvx512;
    case IsaOption::kAvx512Bf16:
      return kernels::Isa::kAvx512Bf16;
    case IsaOption::kAmx:
      return kernels::Isa::kAmx;
  }
  return std::nullopt;
}

}  // namespace

CpuExecutorOptions ExecutorOptionsOf(const ServerConfig& config) {
  CpuExecutorOptions options;
  options.threads = config.model.threads;
  options.isa = IsaOf(config.model.isa);
  options.dtype = WeightTypeOf(config.model.dtype);
  options.base_quant = QuantizationOf(config.model.base_quant);
  options.kv_type = config.model.kv_cache_dtype == KvDtypeOption::kInt8 ? kernels::KvType::kInt8
                                                                        : kernels::KvType::kServing;
  options.precision = PrecisionOf(config.model.matmul_precision);
  options.kv_cache_bytes = config.model.kv_cache_bytes;
  options.max_rows = config.batch.max_rows_per_step;
  options.max_sequences = config.batch.max_sequences;
  return options;
}

std::string DtypeName(const ModelOptions& options) {
  const std::string dtype = options.dtype == DtypeOption::kBf16 ? "bf16" : "float32";
  const kernels::Quantization quantization = QuantizationOf(options.base_quant);
  if (quantization == kernels::Quantization::kNone) return dtype;
  return dtype + "+" + kernels::QuantizationName(quantization);
}

}  // namespace lamella
