#include "server/kernels/isa_tables.h"
#include "server/kernels/kernel_table.h"

namespace lamella::kernels {
namespace {

constexpr Isa kAllIsas[] = {Isa::kReference, Isa::kAvx2, Isa::kAvx512Bf16};

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
  return isa == Isa::kReference ? &ReferenceTable(weight_type) : nullptr;
}

}  // namespace lamella::kernels
