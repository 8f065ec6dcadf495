// One reservation of memory, owned by a LibTorch tensor, out of which a room's long-lived arrays
// are cut: packed weights, workspaces, the KV cache. Pages are zero and become resident when they
// are first touched. Arrays are 64-byte aligned and live as long as the arena. Not a heap: nothing
// is given back. A default-constructed arena only measures: the same layout code runs twice, first
// to add up bytes and then to hand out pointers. One thread cuts; the arrays may be used from any.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace lamella {

class TensorArena {
 public:
  // Measures: Take returns null and adds up.
  TensorArena() = default;

  // RESOURCE_EXHAUSTED if the system refuses `bytes` (>= 0).
  static absl::StatusOr<TensorArena> Reserve(int64_t bytes);

  // `count` elements, uninitialised in name and zero in fact. CHECK-free: taking more than was
  // reserved returns null, which the measuring pass rules out.
  template <typename T>
  T* Take(int64_t count) {
    return static_cast<T*>(TakeBytes(static_cast<size_t>(count) * sizeof(T)));
  }
  void* TakeBytes(size_t bytes);

  int64_t used_bytes() const { return used_bytes_; }

  // uint8 [reserved bytes]; undefined while measuring.
  const at::Tensor& storage() const { return storage_; }

 private:
  at::Tensor storage_;
  int64_t used_bytes_ = 0;
};

}  // namespace lamella
