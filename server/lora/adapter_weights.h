// The weights of one adapter version, packed for one KernelTable: immutable, in one allocation, at
// true ranks, with the scale inside B. Not the files they came from (adapter_loader.h) and not
// where they live (adapter_manager.h). Safe to read from any thread.
//
//   arena (64-byte aligned):  | A of module 0 | B of module 0 | A of module 1 | B of module 1 | ...
//                             every matrix starts at a multiple of kArenaAlignment
//
// What the alignment costs: less than 64 bytes per matrix, and nothing where in and out features
// are multiples of 32 (as in every base that is served today). The arena ends within a page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/page_memory.h"
#include "common/formats/base_spec.h"
#include "server/core/adapter_ref.h"
#include "server/kernels/kernel_table.h"

namespace lamella {

inline constexpr size_t kArenaAlignment = 64;

// One module that an adapter changes: y += scale B (A x).
struct LoraModuleShape {
  int32_t layer = 0;
  ModuleKind kind = ModuleKind::kQ;
  int32_t rank = 0;          // true rank, >= 1
  int64_t in_features = 0;   // A is [rank, in_features]
  int64_t out_features = 0;  // B is [out_features, rank]
  float scale = 1.0F;        // lora_alpha / rank, or as the configuration says
};

// What a version takes in memory, from its shapes alone.
struct AdapterSize {
  size_t packed_bytes = 0;    // the packed matrices
  size_t resident_bytes = 0;  // with alignment and tables: what is charged, <= 1.02 x packed_bytes
};
AdapterSize ComputeAdapterSize(std::span<const LoraModuleShape> shapes, int32_t num_layers,
                               const kernels::KernelTable& kernels);

class AdapterWeights {
 public:
  struct Module {
    int32_t rank = 0;         // 0: the adapter does not change this module
    const void* a = nullptr;  // pack_lora_a's output
    const void* b = nullptr;  // pack_lora_b's output, scale inside
  };

  AdapterWeights(const AdapterWeights&) = delete;
  AdapterWeights& operator=(const AdapterWeights&) = delete;

  // `layer` in [0, num_layers()).
  const Module& module(int32_t layer, ModuleKind kind) const {
    const size_t slot = static_cast<size_t>(layer) * kModuleKinds + static_cast<size_t>(kind);
    return modules_[slots_[slot]];
  }

  const AdapterRef& ref() const { return ref_; }
  int32_t num_layers() const { return static_cast<int32_t>(slots_.size()) / kModuleKinds; }
  int32_t max_rank() const { return max_rank_; }
  size_t bytes() const { return size_.resident_bytes; }
  size_t packed_bytes() const { return size_.packed_bytes; }

 private:
  friend class AdapterWeightsBuilder;
  AdapterWeights() = default;

  AdapterRef ref_;
  AdapterSize size_;
  int32_t max_rank_ = 0;
  PageMemory arena_;
  std::vector<Module> modules_;  // [1 + changed modules]; the first is the one that changes nothing
  // Index into modules_, [num_layers * kModuleKinds]: so that an adapter of few modules is not
  // charged for all of them.
  std::vector<uint16_t> slots_;
};

// Packs an adapter module by module; the only way to make AdapterWeights. One thread.
class AdapterWeightsBuilder {
 public:
  // Allocates. `shapes` name each (layer, kind) at most once, layers within [0, num_layers).
  // `kernels` is borrowed until Finish.
  AdapterWeightsBuilder(AdapterRef ref, int32_t num_layers, std::span<const LoraModuleShape> shapes,
                        const kernels::KernelTable& kernels);

  // Fills the module of shapes[index]. `a`: float [rank][in_features], `b`: float
  // [out_features][rank]. Every index once, in any order.
  void Pack(size_t index, const float* a, const float* b);

  std::unique_ptr<const AdapterWeights> Finish() &&;

 private:
  const kernels::KernelTable& kernels_;
  std::vector<LoraModuleShape> shapes_;
  std::unique_ptr<AdapterWeights> weights_;
};

}  // namespace lamella
