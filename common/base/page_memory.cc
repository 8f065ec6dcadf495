#include "common/base/page_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include "common/base/mutex.h"

namespace lamella {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMostRecycled = size_t{64} << 20;
constexpr size_t kHugePage = size_t{2} << 20;

std::byte* Map(size_t bytes) {
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

// Maps too much and gives back what stands before and after.
std::byte* MapAligned(size_t bytes) {
  std::byte* const at = Map(bytes + kHugePage);
  if (at == nullptr) return nullptr;
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(at) % kHugePage) % kHugePage;
  std::byte* const begin = at + before;
  std::byte* const end = begin + (bytes + kPage - 1) / kPage * kPage;
  std::byte* const mapped_end = at + (bytes + kHugePage + kPage - 1) / kPage * kPage;
  if (begin > at) munmap(at, static_cast<size_t>(begin - at));
  if (mapped_end > end) munmap(end, static_cast<size_t>(mapped_end - end));
  (void)madvise(begin, bytes, MADV_HUGEPAGE);  // advice only
  return begin;
}

// What one Recycled left for the next.
struct Slot {
  Mutex mutex;
  std::byte* data GUARDED_BY(mutex) = nullptr;
  size_t mapped GUARDED_BY(mutex) = 0;
};
Slot& TheSlot() {
  static Slot* const slot = new Slot;  // never destroyed: memory may die at exit
  return *slot;
}

}  // namespace

PageMemory PageMemory::Recycled(size_t bytes) {
  PageMemory memory;
  {
    Slot& slot = TheSlot();
    MutexLock lock(&slot.mutex);
    if (bytes > 0 && slot.mapped >= bytes) {
      memory.data_ = std::exchange(slot.data, nullptr);
      memory.mapped_ = std::exchange(slot.mapped, 0);
      memory.size_ = bytes;
    }
  }
  if (memory.data_ == nullptr) memory = PageMemory(bytes);
  memory.recycles_ = true;
  return memory;
}

PageMemory::PageMemory(size_t bytes) : size_(bytes), mapped_(bytes) {
  if (bytes == 0) return;
  data_ = bytes < kHugePage ? Map(bytes) : MapAligned(bytes);
  if (data_ == nullptr) size_ = 0;
}

PageMemory::PageMemory(PageMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(other.mapped_),
      recycles_(other.recycles_) {}

PageMemory& PageMemory::operator=(PageMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  std::swap(recycles_, other.recycles_);
  return *this;
}

PageMemory::~PageMemory() {
  if (data_ == nullptr) return;
  if (recycles_ && mapped_ <= kMostRecycled) {
    Slot& slot = TheSlot();
    MutexLock lock(&slot.mutex);
    // The larger one stays.
    if (slot.mapped < mapped_) {
      std::swap(slot.data, data_);
      std::swap(slot.mapped, mapped_);
    }
  }
  if (data_ != nullptr) munmap(data_, mapped_);
}

}  // namespace lamella
