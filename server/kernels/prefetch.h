// Asking for memory while something else is computed. Internal to the room.
#pragma once

#include "server/kernels/bf16.h"

namespace lamella::kernels {
namespace {

// Addresses `stride` bytes apart, asked for into the second-level cache.
struct Prefetch {
  const char* next = nullptr;
  int64_t stride = 0;

  // `count` more addresses.
  template <int count>
  LAMELLA_KERNEL_MEMBER void Ask() {
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
      __builtin_prefetch(next, 0, 2);
      next += stride;
    }
  }
};

}  // namespace
}  // namespace lamella::kernels
