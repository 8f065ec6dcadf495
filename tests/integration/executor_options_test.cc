#include "server/executor_options.h"

#include <gtest/gtest.h>

namespace lamella {
namespace {

using kernels::Isa;
using kernels::KvType;
using kernels::MatmulPrecision;
using kernels::Quantization;
using kernels::WeightType;

TEST(ExecutorOptionsTest, DefaultsAreTheExecutorsOwn) {
  const CpuExecutorOptions options = ExecutorOptionsOf(ServerConfig());
  EXPECT_FALSE(options.isa.has_value());
  EXPECT_EQ(options.dtype, WeightType::kBF16);
  EXPECT_EQ(options.base_quant, Quantization::kNone);
  EXPECT_EQ(options.kv_type, KvType::kServing);
  EXPECT_EQ(options.precision, MatmulPrecision::kAuto);
}

TEST(ExecutorOptionsTest, EverythingArrives) {
  ServerConfig config;
  config.model.threads = 3;
  config.model.isa = IsaOption::kAvx512;
  config.model.dtype = DtypeOption::kFloat32;
  config.model.base_quant = BaseQuantOption::kInt4;
  config.model.kv_cache_dtype = KvDtypeOption::kInt8;
  config.model.matmul_precision = MatmulPrecisionOption::kMedium;
  config.model.kv_cache_bytes = 1 << 20;
  config.batch.max_rows_per_step = 77;
  config.batch.max_sequences = 7;
  CpuExecutorOptions options = ExecutorOptionsOf(config);
  EXPECT_EQ(options.threads, 3);
  EXPECT_EQ(options.isa, Isa::kAvx512);
  EXPECT_EQ(options.dtype, WeightType::kF32);
  EXPECT_EQ(options.base_quant, Quantization::kInt4);
  EXPECT_EQ(options.kv_type, KvType::kInt8);
  EXPECT_EQ(options.precision, MatmulPrecision::kMedium);
  EXPECT_EQ(options.kv_cache_bytes, 1 << 20);
  EXPECT_EQ(options.max_rows, 77);
  EXPECT_EQ(options.max_sequences, 7);
  EXPECT_EQ(DtypeName(config.model), "float32+int4");
  config.model.matmul_precision = MatmulPrecisionOption::kHigh;
  EXPECT_EQ(ExecutorOptionsOf(config).precision, MatmulPrecision::kHigh);
}

}  // namespace
}  // namespace lamella
