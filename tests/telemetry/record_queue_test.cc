#include "server/telemetry/record_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "server/telemetry/metrics_registry.h"
#include "tests/telemetry/record_fixture.h"

namespace lamella {
namespace {

// What a sink was given; shared with the test, since the queue owns the sink.
struct Given {
  Mutex mutex;
  CondVar changed;
  bool blocked = false;
  bool inside = false;
  std::vector<std::string> ids;
};

class FakeSink final : public RecordSink {
 public:
  FakeSink(Given* given, size_t fails) : given_(given), fails_(fails) {}
  size_t Write(std::span<const RequestRecord> records) override {
    MutexLock lock(&given_->mutex);
    given_->inside = true;
    given_->changed.NotifyAll();
    while (given_->blocked) given_->changed.Wait(&given_->mutex);
    for (const RequestRecord& record : records) given_->ids.push_back(record.request_id);
    return fails_;
  }

 private:
  Given* const given_;
  const size_t fails_;
};

TEST(RecordQueueTest, WhatWaitsAtTheEndIsWritten) {
  MetricsRegistry registry;
  Given given;
  {
    RecordQueue queue(std::make_unique<FakeSink>(&given, 0), 100,
                      registry.metrics()->ledger_records_lost);
    for (int i = 0; i < 50; ++i) queue.Record(MakeRecord(std::to_string(i)));
  }
  ASSERT_EQ(given.ids.size(), 50U);
  EXPECT_EQ(given.ids.front(), "0");
  EXPECT_EQ(given.ids.back(), "49");
  EXPECT_EQ(registry.metrics()->ledger_records_lost.Value(), 0);
}

TEST(RecordQueueTest, AStuckSinkStopsNobodyAndLossIsCounted) {
  MetricsRegistry registry;
  Given given;
  given.blocked = true;
  {
    RecordQueue queue(std::make_unique<FakeSink>(&given, 0), 2,
                      registry.metrics()->ledger_records_lost);
    queue.Record(MakeRecord("first"));
    {
      MutexLock lock(&given.mutex);
      while (!given.inside) given.changed.Wait(&given.mutex);
    }
    for (const char* id : {"a", "b", "c", "d"}) queue.Record(MakeRecord(id));
    EXPECT_EQ(registry.metrics()->ledger_records_lost.Value(), 2);
    MutexLock lock(&given.mutex);
    given.blocked = false;
    given.changed.NotifyAll();
  }
  EXPECT_THAT(given.ids, testing::ElementsAre("first", "a", "b"));
}

TEST(RecordQueueTest, WhatASinkCouldNotWriteIsCounted) {
  MetricsRegistry registry;
  Given given;
  {
    RecordQueue queue(std::make_unique<FakeSink>(&given, 1), 2, registry.metrics()->spans_lost);
    queue.Record(MakeRecord("a"));
  }
  EXPECT_EQ(registry.metrics()->spans_lost.Value(), 1);
}

TEST(RecordFanOutTest, TellsAll) {
  Given one, two;
  {
    RecordFanOut all;
    all.Add(std::make_unique<RecordQueue>(std::make_unique<FakeSink>(&one, 0), 2, Counter()));
    all.Add(std::make_unique<RecordQueue>(std::make_unique<FakeSink>(&two, 0), 2, Counter()));
    all.Record(MakeRecord("a"));
  }
  EXPECT_EQ(one.ids, two.ids);
  EXPECT_EQ(one.ids.size(), 1U);
}

}  // namespace
}  // namespace lamella
