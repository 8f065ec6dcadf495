#include "tests/bench/heap_meter.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> heap_bytes = 0;
std::atomic<size_t> heap_peak = 0;

void* Count(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  const size_t now = heap_bytes += malloc_usable_size(memory);
  size_t peak = heap_peak;
  while (now > peak && !heap_peak.compare_exchange_weak(peak, now)) {
  }
  return memory;
}

void Free(void* memory) {
  if (memory == nullptr) return;
  heap_bytes -= malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void* operator new(size_t bytes) { return Count(std::malloc(std::max<size_t>(bytes, 1))); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  const auto step = static_cast<size_t>(alignment);
  return Count(std::aligned_alloc(step, (std::max<size_t>(bytes, 1) + step - 1) / step * step));
}
void operator delete(void* memory) noexcept { Free(memory); }
void operator delete(void* memory, size_t) noexcept { Free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { Free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { Free(memory); }

namespace lamella::bench {

HeapMeter::HeapMeter() : begin_bytes_(heap_bytes) { heap_peak = begin_bytes_; }

size_t HeapMeter::peak_bytes() const { return heap_peak - begin_bytes_; }

}  // namespace lamella::bench
