#include "server/model/tensor_arena.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace lamella::testing {
namespace {

TEST(TensorArenaTest, MeasuringAndCuttingGoTheSameWay) {
  TensorArena measure;
  EXPECT_EQ(measure.Take<float>(3), nullptr);
  EXPECT_EQ(measure.TakeBytes(65), nullptr);
  auto arena = TensorArena::Reserve(measure.used_bytes());
  ASSERT_TRUE(arena.ok());
  auto* first = arena->Take<float>(3);
  auto* second = static_cast<uint8_t*>(arena->TakeBytes(65));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 64, 0U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second) % 64, 0U);
  EXPECT_EQ(first[2], 0.0F);
  second[64] = 1;
  EXPECT_EQ(arena->used_bytes(), measure.used_bytes());
}

TEST(TensorArenaTest, ArraysStayWhenTheArenaMoves) {
  auto arena = TensorArena::Reserve(4096);
  ASSERT_TRUE(arena.ok());
  auto* array = arena->Take<int32_t>(4);
  array[0] = 42;
  const TensorArena moved = std::move(arena).value();
  EXPECT_EQ(array[0], 42);
  EXPECT_EQ(moved.storage().data_ptr(), array);
}

TEST(TensorArenaTest, MoreThanTheSystemHasIsAnError) {
  const auto arena = TensorArena::Reserve(int64_t{1} << 60);
  EXPECT_EQ(arena.status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace lamella::testing
