#include "tests/bench/load/record.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/reasons.h"

namespace lamella::bench {
namespace {

// Sent at `sent_s`, its first token a second later.
Record Answered(int32_t adapter, int sent_s, absl::Duration adapter_wait) {
  Record record;
  record.plan.adapter = adapter;
  record.due = record.sent = absl::Seconds(sent_s);
  record.arrivals = {{absl::Seconds(sent_s + 1), 1}};
  record.adapter_wait = adapter_wait;
  return record;
}

std::vector<AdapterClass> ClassesOf(const std::set<int32_t>& resident,
                                    std::vector<Record> records) {
  Classify(resident, &records);
  std::vector<AdapterClass> classes;
  for (const Record& record : records) classes.push_back(record.adapter_class);
  return classes;
}

TEST(ClassifyTest, WhoWaitsIsColdUnlessTheServerHadTheAdapterBefore) {
  constexpr absl::Duration kWait = absl::Milliseconds(20);
  EXPECT_EQ(
      ClassesOf({}, {Answered(0, 0, kWait), Answered(0, 0, kWait),  // both of one load
                     Answered(0, 2, absl::ZeroDuration()), Answered(0, 9, kWait),
                     Answered(kBaseModel, 3, absl::ZeroDuration())}),
      (std::vector<AdapterClass>{AdapterClass::kCold, AdapterClass::kCold, AdapterClass::kResident,
                                 AdapterClass::kWarm, AdapterClass::kBase}));
}

TEST(ClassifyTest, TheFirstIsColdThoughItsLoadKeptNobodyWaiting) {
  EXPECT_EQ(
      ClassesOf({7}, {Answered(1, 0, absl::ZeroDuration()), Answered(1, 0, absl::ZeroDuration()),
                      Answered(7, 0, absl::ZeroDuration())}),
      (std::vector<AdapterClass>{AdapterClass::kCold, AdapterClass::kResident,
                                 AdapterClass::kResident}));
}

TEST(ClassifyTest, WhatWasInMemoryBeforeTheRunIsWarmLater) {
  EXPECT_EQ(ClassesOf({7}, {Answered(7, 0, absl::Milliseconds(5))}),
            (std::vector<AdapterClass>{AdapterClass::kWarm}));
}

TEST(RecordTest, ALateSenderDoesNotShortenTheWait) {
  Record record;
  record.due = absl::Seconds(1);
  record.sent = absl::Seconds(3);
  record.arrivals = {{absl::Seconds(4), 1}, {absl::Seconds(6), 3}, {absl::Seconds(7), 1}};
  EXPECT_EQ(record.first_token(), absl::Seconds(3));
  EXPECT_EQ(record.tokens(), 5);
  EXPECT_EQ(record.per_token(), absl::Seconds(3) / 4);
}

TEST(RecordTest, ARefusalHasAReasonAndNoToken) {
  Record record;
  EXPECT_FALSE(record.refused());
  record.status = MakeError(absl::StatusCode::kResourceExhausted, reasons::kQueueFull, "", "full");
  EXPECT_TRUE(record.refused());
  record.arrivals = {{absl::Seconds(1), 1}};
  EXPECT_FALSE(record.refused()) << "it was broken off";
  record.arrivals.clear();
  record.status = absl::UnavailableError("connection lost");
  EXPECT_FALSE(record.refused()) << "the server did not say why";
  record.status = MakeError(absl::StatusCode::kInternal, reasons::kInternal, "", "bug");
  EXPECT_FALSE(record.refused());
}

TEST(CountReasonsTest, TellsRefusalsFromFailures) {
  std::vector<Record> records(4);
  records[0].status =
      MakeError(absl::StatusCode::kResourceExhausted, reasons::kQueueFull, "", "full");
  records[1].status = records[0].status;
  records[2].status = absl::CancelledError("gone");
  EXPECT_EQ(CountReasons(records, Ending::kRefused),
            (std::map<std::string, int64_t>{{"QUEUE_FULL", 2}}));
  EXPECT_EQ(CountReasons(records, Ending::kFailed),
            (std::map<std::string, int64_t>{{"CANCELLED", 1}}));
}

}  // namespace
}  // namespace lamella::bench
