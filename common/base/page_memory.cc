#include "common/base/page_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

namespace lamella {
namespace {

constexpr size_t kPage = 4096;
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

}  // namespace

PageMemory::PageMemory(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  data_ = bytes < kHugePage ? Map(bytes) : MapAligned(bytes);
  if (data_ == nullptr) size_ = 0;
}

PageMemory::PageMemory(PageMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

PageMemory& PageMemory::operator=(PageMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

PageMemory::~PageMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace lamella
