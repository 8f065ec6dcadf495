#include "common/base/page_memory.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <array>
#include <cstdint>
#include <utility>

#include "common/base/mutex.h"

namespace lamella {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kMostRecycled = size_t{96} << 20;  // kept at one time
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

struct Mapping {
  std::byte* data = nullptr;
  size_t bytes = 0;
};

void Unmap(const Mapping& mapping) {
  if (mapping.data == nullptr) return;
  ASAN_UNPOISON_MEMORY_REGION(mapping.data, mapping.bytes);
  munmap(mapping.data, mapping.bytes);
}

// What Recycled ones left for the next, oldest first. Who still reads one is caught by AddressSanitizer.
class Shelf {
 public:
  using Mappings = std::array<Mapping, 3>;

  // The smallest of those that hold `bytes` and are at most twice as large; none: null.
  Mapping Take(size_t bytes) {
    MutexLock lock(&mutex_);
    size_t best = count_;
    for (size_t i = 0; i < count_; ++i) {
      if (kept_[i].bytes < bytes || kept_[i].bytes / 2 > bytes) continue;
      if (best == count_ || kept_[i].bytes < kept_[best].bytes) best = i;
    }
    if (best == count_) return {};
    const Mapping taken = Remove(best);
    ASAN_UNPOISON_MEMORY_REGION(taken.data, taken.bytes);
    return taken;
  }

  // Of at most kMostRecycled bytes. Returns what has to make room: the oldest ones.
  Mappings Put(const Mapping& mapping) {
    MutexLock lock(&mutex_);
    Mappings dropped;
    for (size_t i = 0; count_ == kept_.size() || bytes_ + mapping.bytes > kMostRecycled; ++i) {
      dropped[i] = Remove(0);
    }
    ASAN_POISON_MEMORY_REGION(mapping.data, mapping.bytes);
    kept_[count_++] = mapping;
    bytes_ += mapping.bytes;
    return dropped;
  }

 private:
  Mapping Remove(size_t index) REQUIRES(mutex_) {
    const Mapping removed = kept_[index];
    for (size_t i = index + 1; i < count_; ++i) kept_[i - 1] = kept_[i];
    --count_;
    bytes_ -= removed.bytes;
    return removed;
  }

  Mutex mutex_;
  Mappings kept_ GUARDED_BY(mutex_);
  size_t count_ GUARDED_BY(mutex_) = 0;
  size_t bytes_ GUARDED_BY(mutex_) = 0;
};
Shelf& TheShelf() {
  static Shelf* const shelf = new Shelf;  // never destroyed: memory may die at exit
  return *shelf;
}

}  // namespace

PageMemory PageMemory::Recycled(size_t bytes) {
  PageMemory memory;
  if (const Mapping kept = bytes > 0 ? TheShelf().Take(bytes) : Mapping(); kept.data != nullptr) {
    memory.data_ = kept.data;
    memory.size_ = bytes;
    memory.mapped_ = kept.bytes;
  } else {
    memory = PageMemory(bytes);
  }
  memory.recycles_ = true;
  return memory;
}

void PageMemory::Trim() {
  const size_t needed = (size_ + kPage - 1) / kPage * kPage;
  if (data_ == nullptr || mapped_ <= needed) return;
  munmap(data_ + needed, mapped_ - needed);
  mapped_ = needed;
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
  const Mapping mapping = {data_, mapped_};
  if (data_ == nullptr || !recycles_ || mapped_ > kMostRecycled) {
    Unmap(mapping);
    return;
  }
  for (const Mapping& dropped : TheShelf().Put(mapping)) Unmap(dropped);
}

}  // namespace lamella
