#include "server/engine/token_stream.h"

#include <atomic>
#include <thread>

#include "common/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lamella {
namespace {

StreamOptions Bounded(int64_t bytes) { return {bytes, nullptr}; }
const std::vector<int32_t> kOne = {7};

TEST(TokenStreamTest, CoalescesWhatWasNotRead) {
  auto [writer, reader] = MakeTokenStream(Bounded(1000));
  writer.Start({"r", "a", "", 1, 2, 0});
  EXPECT_TRUE(writer.Write(0, "one ", kOne));
  EXPECT_TRUE(writer.Write(1, "other", kOne));
  EXPECT_TRUE(writer.Write(0, "two", kOne));
  const auto events = reader.TryRead();
  ASSERT_TRUE(events.has_value());
  EXPECT_EQ(events->started->request_id, "r");
  ASSERT_EQ(events->deltas.size(), 2u);
  EXPECT_EQ(events->deltas[0].text, "one two");
  EXPECT_THAT(events->deltas[0].token_ids, testing::ElementsAre(7, 7));
  EXPECT_EQ(events->deltas[1].choice, 1);
  EXPECT_FALSE(events->terminal());
  EXPECT_FALSE(reader.TryRead().has_value());
}

TEST(TokenStreamTest, HasExactlyOneEnd) {
  auto [writer, reader] = MakeTokenStream(Bounded(1000));
  EXPECT_TRUE(writer.Finish({}));
  EXPECT_FALSE(writer.Fail(absl::InternalError("late")));
  EXPECT_FALSE(writer.Finish({}));
  EXPECT_FALSE(writer.Write(0, "late", kOne));
  const auto events = reader.TryRead();
  ASSERT_TRUE(events.has_value());
  EXPECT_TRUE(events->finished.has_value());
  EXPECT_TRUE(events->error.ok());
  EXPECT_TRUE(events->deltas.empty());
  EXPECT_FALSE(reader.TryRead().has_value());
}

TEST(TokenStreamTest, PastTheBoundItEndsWithSlowReader) {
  auto [writer, reader] = MakeTokenStream(Bounded(20));
  EXPECT_TRUE(writer.Write(0, "0123456789", kOne));  // 14 bytes
  EXPECT_FALSE(writer.Write(0, "012", kOne));
  EXPECT_FALSE(writer.Finish({}));
  const auto events = reader.TryRead();
  ASSERT_TRUE(events.has_value());
  EXPECT_EQ(events->error.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(events->error), "SLOW_READER");
  EXPECT_EQ(events->deltas.at(0).text, "0123456789");
}

TEST(TokenStreamTest, ReadingMakesRoom) {
  auto [writer, reader] = MakeTokenStream(Bounded(20));
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(writer.Write(0, "0123456789", kOne));
    EXPECT_TRUE(reader.TryRead().has_value());
  }
}

TEST(TokenStreamTest, TellsOnceUntilTheNextRead) {
  auto [writer, reader] = MakeTokenStream(Bounded(1000));
  int calls = 0;
  reader.SetReadyCallback([&calls] { ++calls; });
  EXPECT_EQ(calls, 0);
  writer.Start({});
  writer.Write(0, "x", kOne);
  EXPECT_EQ(calls, 1);
  reader.TryRead();
  writer.Write(0, "x", kOne);
  EXPECT_EQ(calls, 2);
}

TEST(TokenStreamTest, TellsAtOnceWhatIsThereAlready) {
  auto [writer, reader] = MakeTokenStream(Bounded(1000));
  writer.Start({});
  int calls = 0;
  reader.SetReadyCallback([&calls] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(TokenStreamTest, TheCallbackMayReadAndDestroyItsReader) {
  auto [writer, reader] = MakeTokenStream(Bounded(1000));
  auto holder = std::make_unique<StreamReader>(std::move(reader));
  holder->SetReadyCallback([&holder] {
    holder->TryRead();
    holder.reset();
  });
  writer.Start({});
  EXPECT_EQ(holder, nullptr);
  EXPECT_TRUE(writer.cancelled());
}

TEST(TokenStreamTest, CancelTellsTheEngineOnceAndDropsDeltas) {
  int cancels = 0;
  auto [writer, reader] = MakeTokenStream({1000, [&cancels] { ++cancels; }});
  writer.Write(0, "x", kOne);
  reader.Cancel();
  reader.Cancel();
  EXPECT_EQ(cancels, 1);
  EXPECT_TRUE(writer.cancelled());
  EXPECT_FALSE(reader.TryRead().has_value());
  writer.Write(0, "y", kOne);
  EXPECT_FALSE(reader.TryRead().has_value());
  writer.Fail(absl::CancelledError("cancelled"));
  const auto events = reader.TryRead();
  ASSERT_TRUE(events.has_value());
  EXPECT_EQ(events->error.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(events->deltas.empty());
}

TEST(TokenStreamTest, DestroyingTheReaderCancels) {
  int cancels = 0;
  auto [writer, reader] = MakeTokenStream({1000, [&cancels] { ++cancels; }});
  { const StreamReader gone = std::move(reader); }
  EXPECT_EQ(cancels, 1);
}

TEST(TokenStreamTest, AfterTheEndNobodyIsTold) {
  int cancels = 0;
  auto [writer, reader] = MakeTokenStream({1000, [&cancels] { ++cancels; }});
  writer.Finish({});
  { const StreamReader gone = std::move(reader); }
  EXPECT_EQ(cancels, 0);
}

TEST(TokenStreamTest, ADroppedWriterFailsTheStream) {
  auto [writer, reader] = MakeTokenStream(Bounded(1000));
  { const StreamWriter dropped = std::move(writer); }
  const auto events = reader.TryRead();
  ASSERT_TRUE(events.has_value());
  EXPECT_EQ(events->error.code(), absl::StatusCode::kInternal);
}

TEST(TokenStreamTest, NoCallbackAfterTheReaderIsGone) {
  for (int round = 0; round < 200; ++round) {
    auto [writer, reader] = MakeTokenStream(Bounded(1 << 20));
    // Plain memory: a late callback is a race that ThreadSanitizer sees.
    auto touched = std::make_unique<int>(0);
    reader.SetReadyCallback([p = touched.get()] { ++*p; });
    std::thread producer([w = &writer] {
      for (int i = 0; i < 20; ++i) w->Write(0, "x", kOne);
    });
    if (round % 2 == 0) reader.TryRead();
    { const StreamReader gone = std::move(reader); }
    touched.reset();
    producer.join();
  }
}

}  // namespace
}  // namespace lamella
