#include "server/lora/adapter_weights.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace lamella {
namespace {

size_t Aligned(size_t bytes) { return (bytes + kArenaAlignment - 1) & ~(kArenaAlignment - 1); }

struct MatrixBytes {
  size_t a = 0;
  size_t b = 0;
};
MatrixBytes PackedMatrixBytes(const LoraModuleShape& shape, const kernels::KernelTable& kernels) {
  return {.a = kernels.lora_a_bytes(shape.rank, shape.in_features),
          .b = kernels.lora_b_bytes(shape.out_features, shape.rank)};
}

size_t ArenaBytes(std::span<const LoraModuleShape> shapes, const kernels::KernelTable& kernels) {
  size_t bytes = 0;
  for (const LoraModuleShape& shape : shapes) {
    const MatrixBytes matrix = PackedMatrixBytes(shape, kernels);
    bytes += Aligned(matrix.a) + Aligned(matrix.b);
  }
  return bytes;
}

}  // namespace

AdapterSize ComputeAdapterSize(std::span<const LoraModuleShape> shapes, int32_t num_layers,
                               const kernels::KernelTable& kernels) {
  AdapterSize size;
  for (const LoraModuleShape& shape : shapes) {
    const MatrixBytes matrix = PackedMatrixBytes(shape, kernels);
    size.packed_bytes += matrix.a + matrix.b;
  }
  size.resident_bytes = ArenaBytes(shapes, kernels) +
                        (shapes.size() + 1) * sizeof(AdapterWeights::Module) +
                        static_cast<size_t>(num_layers) * kModuleKinds * sizeof(uint16_t);
  return size;
}

AdapterWeightsBuilder::AdapterWeightsBuilder(AdapterRef ref, int32_t num_layers,
                                             std::span<const LoraModuleShape> shapes,
                                             const kernels::KernelTable& kernels)
    : kernels_(kernels), shapes_(shapes.begin(), shapes.end()), weights_(new AdapterWeights) {
  weights_->ref_ = std::move(ref);
  weights_->size_ = ComputeAdapterSize(shapes, num_layers, kernels);
  weights_->modules_.reserve(shapes.size() + 1);
  weights_->modules_.emplace_back();
  weights_->slots_.assign(static_cast<size_t>(num_layers) * kModuleKinds, 0);
  // Often that of an adapter that was just evicted; packing writes all that is ever read.
  weights_->arena_ = PageMemory::Recycled(ArenaBytes(shapes, kernels));
  weights_->arena_.Trim();
  if (weights_->arena_.data() == nullptr && !shapes.empty()) throw std::bad_alloc();
  std::byte* next = weights_->arena_.data();
  for (const LoraModuleShape& shape : shapes) {
    const MatrixBytes matrix = PackedMatrixBytes(shape, kernels);
    const std::byte* const a = next;
    const std::byte* const b = next + Aligned(matrix.a);
    next += Aligned(matrix.a) + Aligned(matrix.b);
    const size_t slot =
        static_cast<size_t>(shape.layer) * kModuleKinds + static_cast<size_t>(shape.kind);
    weights_->slots_[slot] = static_cast<uint16_t>(weights_->modules_.size());
    weights_->modules_.push_back({.rank = shape.rank, .a = a, .b = b});
    weights_->max_rank_ = std::max(weights_->max_rank_, shape.rank);
  }
}

void AdapterWeightsBuilder::Pack(size_t index, const float* a, const float* b) {
  const LoraModuleShape& shape = shapes_[index];
  const AdapterWeights::Module& module = weights_->modules_[index + 1];
  // Until Finish the arena is this builder's: the weights become immutable when they are handed
  // out.
  kernels_.pack_lora_a(a, shape.rank, shape.in_features, const_cast<void*>(module.a));
  kernels_.pack_lora_b(b, shape.out_features, shape.rank, shape.scale, const_cast<void*>(module.b));
}

std::unique_ptr<const AdapterWeights> AdapterWeightsBuilder::Finish() && {
  return std::move(weights_);
}

}  // namespace lamella
