#if defined(LAMELLA_KERNELS_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <array>
#include <iterator>
#include <optional>

#include "server/kernels/isa_tables.h"
#include "server/kernels/kernel_table.h"
#include "server/kernels/row_tiles.h"

namespace lamella::kernels {
namespace {

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

const KernelTable* Avx512TableOrNull([[maybe_unused]] WeightType weight_type,
                                     [[maybe_unused]] Quantization quantization) {
#if defined(LAMELLA_KERNELS_AVX512)
  if (Avx2TableOrNull(weight_type, quantization) != nullptr && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return &Avx512Table(weight_type, quantization);
  }
#endif
  return nullptr;
}

const KernelTable* Avx512Bf16TableOrNull([[maybe_unused]] WeightType weight_type,
                                         [[maybe_unused]] Quantization quantization,
                                         [[maybe_unused]] MatmulPrecision precision) {
#if defined(LAMELLA_KERNELS_AVX512BF16)
  if (Avx512TableOrNull(weight_type, quantization) != nullptr &&
      __builtin_cpu_supports("avx512bf16")) {
    return &Avx512Bf16Table(weight_type, quantization, precision);
  }
#endif
  return nullptr;
}

#if defined(LAMELLA_KERNELS_AMX)
// The compiler's own check knows no AMX. Tile registers are large, so Linux gives them to a process
// only on request (ARCH_REQ_XCOMP_PERM of XTILEDATA); threads inherit them.
bool HasAmx() {
  constexpr uint32_t kTiles = 1u << 24;
  constexpr uint32_t kBf16 = 1u << 22;
  constexpr uint32_t kInt8 = 1u << 25;
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & kTiles) == 0 || (edx & kBf16) == 0 || (edx & kInt8) == 0) return false;
  if (!__builtin_cpu_supports("avx512vnni")) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

const KernelTable* AmxTableOrNull([[maybe_unused]] WeightType weight_type,
                                  [[maybe_unused]] Quantization quantization,
                                  [[maybe_unused]] MatmulPrecision precision) {
#if defined(LAMELLA_KERNELS_AMX)
  static const bool has_amx = HasAmx();
  if (has_amx && Avx512Bf16TableOrNull(weight_type, quantization, precision) != nullptr) {
    return &AmxTable(weight_type, quantization, precision);
  }
#endif
  return nullptr;
}

// Measured: Intel's dot product of bfloat16 has half the speed of its fused multiply-add
// (106 of 212 GFLOP/s of a core with AMX); AMD's has twice that speed.
bool HasSlowBf16Dots() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

// `precision` is kHigh or kMedium.
const KernelTable* ServingKvTable(Isa isa, WeightType weight_type, Quantization quantization,
                                  MatmulPrecision precision) {
  switch (isa) {
    case Isa::kReference:
      return &ReferenceTable(weight_type, quantization);
    case Isa::kAvx2:
      return Avx2TableOrNull(weight_type, quantization);
    case Isa::kAvx512:
      return Avx512TableOrNull(weight_type, quantization);
    case Isa::kAvx512Bf16:
      return Avx512Bf16TableOrNull(weight_type, quantization, precision);
    case Isa::kAmx:
      return AmxTableOrNull(weight_type, quantization, precision);
  }
  return nullptr;
}

// The tables with integer keys and values of all ISAs that are available here.
class Int8KvTables {
 public:
  Int8KvTables() {
    for (const Isa isa : kAllIsas) {
      for (const WeightType type : {WeightType::kF32, WeightType::kBF16}) {
        for (const Quantization q :
             {Quantization::kNone, Quantization::kInt8, Quantization::kInt4}) {
          for (const MatmulPrecision p : {MatmulPrecision::kHigh, MatmulPrecision::kMedium}) {
            const KernelTable* table = ServingKvTable(isa, type, q, p);
            if (table != nullptr) tables_[Index(isa, type, q, p)] = WithInt8Kv(*table);
          }
        }
      }
    }
  }
  const KernelTable* Get(Isa isa, WeightType type, Quantization q, MatmulPrecision p) const {
    const std::optional<KernelTable>& table = tables_[Index(isa, type, q, p)];
    return table.has_value() ? &*table : nullptr;
  }

 private:
  static constexpr size_t kPrecisions = 2;
  static constexpr size_t kQuantizations = 3;
  static constexpr size_t kWeightTypes = 2;

  static size_t Index(Isa isa, WeightType type, Quantization q, MatmulPrecision p) {
    const size_t base = static_cast<size_t>(isa) * kWeightTypes + static_cast<size_t>(type);
    const size_t medium = p == MatmulPrecision::kMedium ? 1 : 0;
    return (base * kQuantizations + static_cast<size_t>(q)) * kPrecisions + medium;
  }
  static KernelTable WithInt8Kv(const KernelTable& table) {
#if defined(LAMELLA_KERNELS_AVX2)
    if (table.isa != Isa::kReference) return WithAvx2Int8Kv(table);
#endif
    return WithReferenceInt8Kv(table);
  }

  std::array<std::optional<KernelTable>,
             std::size(kAllIsas) * kWeightTypes * kQuantizations * kPrecisions>
      tables_;
};

}  // namespace

bool IsaAvailable(Isa isa) { return GetKernelTable(isa, WeightType::kBF16) != nullptr; }

Isa BestIsa() {
  Isa best = Isa::kReference;
  for (Isa isa : kAllIsas) {
    if (isa == Isa::kAvx512Bf16 && HasSlowBf16Dots()) continue;
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
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
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

bool ParseKvType(std::string_view name, KvType* kv_type) {
  if (name != "auto" && name != "int8") return false;
  *kv_type = name == "int8" ? KvType::kInt8 : KvType::kServing;
  return true;
}

const char* MatmulPrecisionName(MatmulPrecision precision) {
  switch (precision) {
    case MatmulPrecision::kAuto:
      return "auto";
    case MatmulPrecision::kHigh:
      return "high";
    case MatmulPrecision::kMedium:
      return "medium";
  }
  return "unknown";
}

bool ParseMatmulPrecision(std::string_view name, MatmulPrecision* precision) {
  for (const MatmulPrecision each :
       {MatmulPrecision::kAuto, MatmulPrecision::kHigh, MatmulPrecision::kMedium}) {
    if (name == MatmulPrecisionName(each)) {
      *precision = each;
      return true;
    }
  }
  return false;
}

int64_t RowTileBegin(const KernelTable& table, int64_t rows, int64_t tile) {
  return SplitRows(rows, table.row_tile, tile).begin;
}

const KernelTable* GetKernelTable(Isa isa, WeightType weight_type, Quantization quantization,
                                  KvType kv_type, MatmulPrecision precision) {
  if (precision == MatmulPrecision::kAuto) {
    precision = isa == Isa::kAvx512Bf16 ? MatmulPrecision::kMedium : MatmulPrecision::kHigh;
  }
  if (kv_type == KvType::kServing) {
    return ServingKvTable(isa, weight_type, quantization, precision);
  }
  static const Int8KvTables tables;
  return tables.Get(isa, weight_type, quantization, precision);
}

}  // namespace lamella::kernels
