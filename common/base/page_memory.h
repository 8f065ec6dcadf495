// Memory straight from the system, for arrays of megabytes that come and go: zero at first and given
// back at once when it dies, unless it is Recycled, and on huge pages wherever it spans a whole one,
// because the faults of small pages cost more than filling them. Move-only; one owner.
#pragma once

#include <cstddef>

namespace lamella {

class PageMemory {
 public:
  PageMemory() = default;
  // `bytes` at a multiple of the page size; of the huge page size if there is room for one. The
  // system may refuse: data() is null then.
  explicit PageMemory(size_t bytes);
  // The same, but with any content: for what is overwritten at once. Up to three such mappings, of 96 MiB
  // together, are kept when they die, for the next ones that need at least half of one: the system's
  // zeroing of fresh pages takes as long as the reading of a file, and longer on a virtual machine whose
  // host has taken them back. Thread-safe.
  static PageMemory Recycled(size_t bytes);
  PageMemory(PageMemory&& other) noexcept;
  PageMemory& operator=(PageMemory&& other) noexcept;
  ~PageMemory();

  // Gives back the pages beyond size() that a recycled mapping has.
  void Trim();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_ = 0;  // at least size_
  bool recycles_ = false;
};

}  // namespace lamella
