#include "server/kernels/isa_tables.h"
#include "server/kernels/kernel_table.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels {
namespace {

constexpr Isa kAllIsas[] = {Isa::kReference, Isa::kAvx2, Isa::kAvx512Bf16};

// Null if this build has no such table. __builtin_cpu_supports asks the processor and whether the
// operating system saves the registers.
const KernelTable* Avx2TableOrNull([[maybe_unused]] WeightType weight_type,
                                   [[maybe_unused]] Quantization quantization) {
#if defined(LAMELLA_KERNELS_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return &Avx2Table(weight_type, quantization);
  }
#endif
  return nullptr;
}

const KernelTable* Avx512Bf16TableOrNull([[maybe_unused]] WeightType weight_type,
                                         [[maybe_unused]] Quantization quantization) {
#if defined(LAMELLA_KERNELS_AVX512BF16)
  if (Avx2TableOrNull(weight_type, quantization) != nullptr && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bf16")) {
    return &Avx512Bf16Table(weight_type, quantization);
  }
#endif
  return nullptr;
}

}  // namespace

bool IsaAvailable(Isa isa) { return GetKernelTable(isa, WeightType::kBF16) != nullptr; }

Isa BestIsa() {
  Isa best = Isa::kReference;
  for (Isa isa : kAllIsas) {
    if (IsaAvailable(isa)) best = isa;
  }
  return best;
}

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return "reference";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
  }
  return "unknown";
}

bool ParseIsa(std::string_view name, Isa* isa) {
  for (Isa candidate : kAllIsas) {
    if (name == IsaName(candidate)) {
      *isa = candidate;
      return true;
    }
  }
  return false;
}

const char* QuantizationName(Quantization quantization) {
  switch (quantization) {
    case Quantization::kNone:
      return "none";
    case Quantization::kInt8:
      return "int8";
    case Quantization::kInt4:
      return "int4";
  }
  return "unknown";
}

bool ParseQuantization(std::string_view name, Quantization* quantization) {
  for (const Quantization each : {Quantization::kNone, Quantization::kInt8, Quantization::kInt4}) {
    if (name == QuantizationName(each)) {
      *quantization = each;
      return true;
    }
  }
  return false;
}

int64_t RowTileBegin(const KernelTable& table, int64_t rows, int64_t tile) {
  return SplitRows(rows, table.row_tile, tile).begin;
}

const KernelTable* GetKernelTable(Isa isa, WeightType weight_type, Quantization quantization) {
  switch (isa) {
    case Isa::kReference:
      return &ReferenceTable(weight_type, quantization);
    case Isa::kAvx2:
      return Avx2TableOrNull(weight_type, quantization);
    case Isa::kAvx512Bf16:
      return Avx512Bf16TableOrNull(weight_type, quantization);
  }
  return nullptr;
}

}  // namespace lamella::kernels
