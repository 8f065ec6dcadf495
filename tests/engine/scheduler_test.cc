// Who is in a step: seen from what the executor is given.
#include "server/engine/scheduler.h"

#include "tests/engine/engine_fixture.h"

namespace lamella {
namespace {

class SchedulerTest : public EngineFixture {
 protected:
  struct Shape {
    int32_t decode_rows = 0;
    int32_t prefill_rows = 0;
    int32_t segments = 0;
  };
  SchedulerTest() {
    executor_.OnLaunch([this](const StepInput& input) {
      Shape shape;
      for (const SequenceRows& rows : input.sequences) {
        // Prompts here are longer than one token, so a decode row is one that has sampled before.
        (rows.sample_position > 0 ? shape.decode_rows : shape.prefill_rows) += rows.row_count;
      }
      shape.segments = static_cast<int32_t>(input.segments.size());
      shapes_.push_back(shape);
    });
  }
  std::vector<Shape> shapes_;
};

TEST_F(SchedulerTest, PrefillChunksNeverStarveDecodeRows) {
  std::vector<Recorded> streams;
  for (int i = 0; i < 4; ++i) streams.push_back(Submit(MakeRequest("ab", 30)));
  Step();
  Recorded large = Submit(MakeRequest(std::string(100, 'L'), 4));
  shapes_.clear();
  // 100 tokens, four in each step: a chunk of 8 rows, four of them decode.
  for (int i = 0; i < 25; ++i) Step();
  for (const Shape& shape : shapes_) {
    EXPECT_EQ(shape.decode_rows, 4);
    EXPECT_EQ(shape.prefill_rows, 4);
  }
  Step();
  EXPECT_EQ(shapes_.back().decode_rows, 5);
}

TEST_F(SchedulerTest, ManyStreamsLeaveHalfAChunkToPrompts) {
  std::vector<Recorded> streams;
  for (int i = 0; i < 7; ++i) streams.push_back(Submit(MakeRequest("ab", 20)));
  Step();
  Recorded large = Submit(MakeRequest(std::string(40, 'L'), 4));
  shapes_.clear();
  for (int i = 0; i < 10; ++i) Step();
  for (const Shape& shape : shapes_) {
    EXPECT_EQ(shape.decode_rows, 7);
    EXPECT_EQ(shape.prefill_rows, 4);
  }
}

TEST_F(SchedulerTest, AStepKeepsItsTokenBudget) {
  std::vector<Recorded> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(Submit(MakeRequest(std::string(30, 'x'), 3)));
  ASSERT_TRUE(RunUntilIdle());
  int32_t fullest = 0;
  for (const Shape& shape : shapes_) {
    fullest = std::max(fullest, shape.decode_rows + shape.prefill_rows);
  }
  EXPECT_EQ(fullest, options_.step_tokens);
}

TEST_F(SchedulerTest, FirstComeFirstServed) {
  options_.max_running = 1;
  std::vector<Recorded> streams;
  for (int i = 0; i < 4; ++i) streams.push_back(Submit(MakeRequest("ab", 3)));
  for (size_t done = 0; done < 4; ++done) {
    while (!streams[done].ended()) {
      ASSERT_TRUE(Step());
      for (Recorded& stream : streams) stream.Read();
    }
    for (size_t later = done + 1; later < 4; ++later) {
      EXPECT_FALSE(streams[later].started.has_value());
    }
  }
}

TEST_F(SchedulerTest, ALargeRequestIsNotOvertakenForBlocks) {
  // 64 blocks of 4 tokens: the first takes 31, the second 32, the third needs 31, the fourth 1.
  std::vector<Recorded> streams;
  streams.push_back(Submit(MakeRequest(std::string(100, 'a'), 25)));
  streams.push_back(Submit(MakeRequest(std::string(100, 'b'), 28)));
  streams.push_back(Submit(MakeRequest(std::string(100, 'c'), 25)));
  streams.push_back(Submit(MakeRequest("dd", 3)));
  while (!streams[0].ended() && !streams[1].ended()) {
    EXPECT_FALSE(streams[2].started.has_value());
    EXPECT_FALSE(streams[3].started.has_value());
    ASSERT_TRUE(Step());
    for (Recorded& stream : streams) stream.Read();
  }
  ASSERT_TRUE(RunUntilIdle());
  for (Recorded& stream : streams) {
    stream.Read();
    EXPECT_EQ(stream.reason(), FinishReason::kLength);
  }
}

TEST_F(SchedulerTest, WhatCannotHaveBlocksHoldsNoPin) {
  catalogue_.SetLive("t", "a", "1");
  std::vector<Recorded> streams;
  // 64 blocks of 4 tokens: 30 each for the first two, which prefill in one step of 16 rows.
  streams.push_back(Submit(MakeRequest(std::string(8, 'a'), 112)));
  streams.push_back(Submit(MakeRequest(std::string(8, 'b'), 112)));
  streams.push_back(Submit(MakeRequest(std::string(100, 'c'), 25, "a")));
  Step();
  EXPECT_EQ(engine().queued(), 1);
  EXPECT_EQ(residency_.pins(), 0);
  ASSERT_TRUE(RunUntilIdle());
  streams[2].Read();
  EXPECT_EQ(streams[2].reason(), FinishReason::kLength);
}

TEST_F(SchedulerTest, RowsOfOneAdapterAreOneSegmentAndTheBaseIsInNone) {
  catalogue_.SetLive("t", "a", "1");
  catalogue_.SetLive("t", "b", "2");
  std::vector<Recorded> streams;
  for (const char* adapter : {"a", "", "b", "a", "", "b"}) {
    streams.push_back(Submit(MakeRequest("ab", 3, adapter)));
  }
  ASSERT_TRUE(RunUntilIdle());
  for (const Shape& shape : shapes_) EXPECT_EQ(shape.segments, 2);
  streams[0].Read();
  EXPECT_EQ(streams[0].finished->timings.mean_distinct_adapters, 2.0);
}

TEST_F(SchedulerTest, ABaseOnlyStepHasNoSegments) {
  Recorded stream = Submit(MakeRequest("ab", 3));
  ASSERT_TRUE(RunUntilIdle());
  for (const Shape& shape : shapes_) EXPECT_EQ(shape.segments, 0);
}

}  // namespace
}  // namespace lamella
