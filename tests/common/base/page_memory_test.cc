#include "common/base/page_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace lamella {
namespace {

TEST(PageMemoryTest, IsZeroAndAllOfItCanBeWritten) {
  for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{70'000}, size_t{2} << 20,
                             (size_t{2} << 20) + 1, (size_t{5} << 20) - 17, size_t{6} << 20}) {
    const PageMemory memory(bytes);
    ASSERT_NE(memory.data(), nullptr);
    EXPECT_EQ(memory.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 4096, 0U);
    EXPECT_EQ(memory.data()[0], std::byte{0});
    EXPECT_EQ(memory.data()[bytes - 1], std::byte{0});
    std::memset(memory.data(), 1, bytes);
  }
}

TEST(PageMemoryTest, ManyLiveSideBySide) {
  std::vector<PageMemory> memories;
  for (size_t i = 0; i < 20; ++i) {
    memories.emplace_back((size_t{3} << 20) + i * 5000);
    std::memset(memories.back().data(), static_cast<int>(i), memories.back().size());
  }
  for (size_t i = 0; i < memories.size(); ++i) {
    EXPECT_EQ(memories[i].data()[0], static_cast<std::byte>(i));
    EXPECT_EQ(memories[i].data()[memories[i].size() - 1], static_cast<std::byte>(i));
  }
}

TEST(PageMemoryTest, MovesCarryIt) {
  PageMemory memory(4096);
  std::byte* const data = memory.data();
  PageMemory other(std::move(memory));
  EXPECT_EQ(other.data(), data);
  memory = PageMemory(100);
  memory = std::move(other);
  EXPECT_EQ(memory.data(), data);
}

TEST(PageMemoryTest, ARecycledMappingServesTheNextOne) {
  constexpr size_t kBytes = size_t{7} << 20;
  std::byte* first = nullptr;
  {
    const PageMemory memory = PageMemory::Recycled(kBytes);
    first = memory.data();
    std::memset(first, 7, kBytes);
    const PageMemory beside = PageMemory::Recycled(kBytes);
    EXPECT_NE(beside.data(), first) << "one at a time";
  }
  for (const size_t bytes : {size_t{1000}, kBytes - 3, kBytes}) {
    PageMemory memory = PageMemory::Recycled(bytes);
    EXPECT_EQ(memory.size(), bytes);
    const PageMemory moved = std::move(memory);
    const PageMemory other = PageMemory::Recycled(bytes);
    const bool again = moved.data() == first || other.data() == first;
    EXPECT_EQ(again, bytes > kBytes / 2) << bytes << ": not one that is far too large";
    std::memset(moved.data(), 1, bytes);
  }
  EXPECT_EQ(PageMemory(kBytes).data()[0], std::byte{0}) << "others are zero as ever";
  EXPECT_NE(PageMemory::Recycled(size_t{80} << 20).data(), nullptr);
  EXPECT_EQ(PageMemory::Recycled(0).data(), nullptr);
}

// Whether a mapping of `bytes` is one that was used before; marks it for the next question.
bool WasUsed(size_t bytes) {
  const PageMemory memory = PageMemory::Recycled(bytes);
  return std::exchange(memory.data()[0], std::byte{9}) == std::byte{9};
}

TEST(PageMemoryTest, TheOldestMakesRoom) {
  constexpr size_t kMiB = size_t{1} << 20;
  for (const size_t bytes : {30 * kMiB, 31 * kMiB, 32 * kMiB}) {
    const PageMemory none_serves_the_next = PageMemory::Recycled(bytes);
    none_serves_the_next.data()[0] = std::byte{0};
  }
  EXPECT_FALSE(WasUsed(5 * kMiB)) << "all that is kept is too large";
  EXPECT_TRUE(WasUsed(5 * kMiB)) << "but gives way";
  EXPECT_FALSE(WasUsed(97 * kMiB));
  EXPECT_FALSE(WasUsed(97 * kMiB)) << "more than is ever kept";
  EXPECT_TRUE(WasUsed(5 * kMiB));
}

TEST(PageMemoryTest, TrimLeavesWhatWasAskedFor) {
  constexpr size_t kBytes = size_t{60} << 20;
  { const PageMemory memory = PageMemory::Recycled(kBytes); }
  constexpr size_t kLess = kBytes - (size_t{9} << 20) - 5;
  {
    PageMemory memory = PageMemory::Recycled(kLess);
    memory.Trim();
    EXPECT_EQ(memory.size(), kLess);
    std::memset(memory.data(), 5, kLess);
  }
  PageMemory larger = PageMemory::Recycled(kBytes);
  EXPECT_EQ(larger.data()[0], std::byte{0}) << "the trimmed one is too small now";
  PageMemory same = PageMemory::Recycled(kLess);
  EXPECT_EQ(same.data()[kLess - 1], std::byte{5});
}

TEST(PageMemoryTest, WhatTheSystemRefusesIsNull) {
  EXPECT_EQ(PageMemory(size_t{1} << 62).data(), nullptr);
  PageMemory refused = PageMemory::Recycled((size_t{1} << 47) - (size_t{8} << 20));
  refused.Trim();  // must not unmap from address 0 on
  EXPECT_EQ(refused.size(), 0U);
  EXPECT_EQ(PageMemory(0).data(), nullptr);
}

}  // namespace
}  // namespace lamella
