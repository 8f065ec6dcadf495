#include "server/kernels/isa_tables.h"
#include "server/kernels/kernel_table.h"

namespace lamella::kernels {
namespace {

constexpr Isa kAllIsas[] = {Isa::kReference, Isa::kAvx2, Isa::kAvx512Bf16};

// __builtin_cpu_supports also asks whether the operating system saves the registers.
bool HasAvx2() {
#if defined(LAMELLA_KERNELS_AVX2)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
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

const KernelTable* GetKernelTable(Isa isa, WeightType weight_type) {
  switch (isa) {
    case Isa::kReference:
      return &ReferenceTable(weight_type);
    case Isa::kAvx2:
#if defined(LAMELLA_KERNELS_AVX2)
      if (HasAvx2()) return &Avx2Table(weight_type);
#endif
      return nullptr;
    case Isa::kAvx512Bf16:
      return nullptr;
  }
  return nullptr;
}

}  // namespace lamella::kernels
